//! Plugins that come in packages: looking at one, installing, granting, upgrading, going back, switching off, taking away.
//!
//! A package is the body of a request, as it is.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodFilter;
use rapport_engine::{Grant, InstallOptions, MovedData};
use rapport_package::ARCHIVE_BYTES_MAX;
use serde::Deserialize;
use serde_json::Value as Json;

use super::backtests::SCRATCH_FOLDER;
use super::extract::{Auth, Params, expect_media, read_body, read_typed};
use super::page::list_response;
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

/// The media types that a package may be sent with.
const MEDIA: [&str; 2] = ["application/octet-stream", "application/gzip"];
const ARCHIVE: &str = "Archive";
const UNSIGNED: &str = "`true` takes a package that nobody signed";
const DRY_RUN: &str = "`true` says what its migrations would do to the data, on a copy, and changes nothing";
const GRANT_ALL: &str = "`true` grants all that it asks for in the same step";

pub(super) fn routes() -> Vec<Route> {
    let mut all = packages();
    all.extend(installed());
    all.extend(trust());
    all
}

fn packages() -> Vec<Route> {
    let takes = |route: Route| {
        route
            .query("unsigned", "boolean", UNSIGNED)
            .query("grant_all", "boolean", GRANT_ALL)
            .takes("application/octet-stream", ARCHIVE)
    };
    vec![
        Route::new(MethodFilter::POST, "/v1/packages/inspect", "read", inspect)
            .about("plugins", "Says what a package asks for and why, who signed it, and how it stands here. Changes nothing")
            .takes("application/octet-stream", ARCHIVE)
            .answers(200, "The report"),
        takes(Route::new(MethodFilter::POST, "/v1/plugins", "admin", install))
            .about("plugins", "Installs the package of a plugin. Nothing of it runs before it is granted")
            .answers(201, "The plugin: `waiting` with what it asks for, or `enabled`"),
        takes(Route::new(MethodFilter::PUT, "/v1/plugins/{id}", "admin", upgrade))
            .query("dry_run", "boolean", DRY_RUN)
            .about(
                "plugins",
                "Takes in a later version. One that asks for nothing more is live at once; else it is `pending` until granted. If \
                 its data have to be moved, that is done first; the same package again lets a migration go on that has failed",
            )
            .answers(200, "The plugin, or what would be done")
            .answers(202, "The plugin: `migration` tells how far it is"),
    ]
}

fn installed() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/plugins", "read", list)
            .about("plugins", "Lists plugins: where they stand, who publishes them, what was granted, what is pending")
            .answers(200, "All plugins"),
        Route::new(MethodFilter::GET, "/v1/plugins/{id}", "read", get)
            .about(
                "plugins",
                "Shows a plugin: where it stands, what it has used since the start, whether it is left alone, and as `routes` \
                 the addresses that it answers",
            )
            .answers(200, "The plugin"),
        Route::new(MethodFilter::POST, "/v1/plugins/{id}/grant", "admin", grant)
            .about("plugins", "Grants what the waiting version asks for, all or these items, and makes it live")
            .takes("application/json", "Grant")
            .answers(200, "The plugin")
            .answers(202, "The plugin: `migration` tells how far it is"),
        Route::new(MethodFilter::POST, "/v1/plugins/{id}/rollback", "admin", roll_back)
            .query("undo_data", "boolean", "`true` undoes what the upgrade's migration has written, if it had one")
            .about("plugins", "Makes the version live that was live before the last upgrade")
            .answers(200, "The plugin")
            .answers(202, "The plugin: `migration` tells how far it is"),
        Route::new(MethodFilter::POST, "/v1/plugins/{id}/abandon", "admin", abandon)
            .about(
                "plugins",
                "Gives up an upgrade of which a migration is open: what its slices have written is undone, newest first",
            )
            .answers(200, "The plugin")
            .answers(202, "The plugin: `migration` tells how far it is"),
        Route::new(MethodFilter::POST, "/v1/plugins/{id}/disable", "admin", disable)
            .about(
                "plugins",
                "Switches a plugin off at once: what works of it ends at its next host call and leaves nothing",
            )
            .answers(200, "The plugin"),
        Route::new(MethodFilter::POST, "/v1/plugins/{id}/enable", "admin", enable)
            .about(
                "plugins",
                "Switches a plugin on again, or lets one go on that is left alone; what was held back goes on",
            )
            .answers(200, "The plugin, and how many runs were `resumed`"),
        Route::new(MethodFilter::DELETE, "/v1/plugins/{id}", "admin", uninstall)
            .about("plugins", "Takes a plugin away with its grant; its open runs are cancelled, its data stays")
            .answers(200, "What was cancelled and what was kept"),
    ]
}

fn trust() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/publishers", "read", publishers)
            .about("plugins", "Lists the publishers whose keys are known")
            .answers(200, "The publishers"),
        Route::new(MethodFilter::PUT, "/v1/publishers/{name}", "admin", trust_publisher)
            .about(
                "plugins",
                "Says which key a publisher has, in place of the one that is known, and that somebody has looked at it",
            )
            .takes("application/json", "PublisherKey")
            .answers(200, "The publisher"),
        Route::new(MethodFilter::GET, "/v1/blocked-packages", "read", blocked)
            .about("plugins", "Lists the packages that must not run")
            .answers(200, "Their digests and the reasons"),
        Route::new(MethodFilter::PUT, "/v1/blocked-packages/{digest}", "admin", block)
            .about("plugins", "Never lets a package run; what is live of it is disabled at once")
            .takes("application/json", "Block")
            .answers(200, "The package, and which plugins were disabled"),
        Route::new(MethodFilter::DELETE, "/v1/blocked-packages/{digest}", "admin", unblock)
            .about("plugins", "Lets a package be again; what was disabled stays so until it is enabled")
            .answers(204, "It is not blocked"),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UpgradeParams {
    unsigned: bool,
    grant_all: bool,
    dry_run: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RollBackParams {
    undo_data: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BlockBody {
    reason: String,
}

async fn archive(api: &Api, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    expect_media(headers, &MEDIA)?;
    Ok(read_body(api, headers, body, ARCHIVE_BYTES_MAX).await?.to_vec())
}

async fn inspect(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let bytes = archive(&api, &headers, body).await?;
    Ok(json_response(StatusCode::OK, &api.engine.inspect_package(&caller, &bytes)?))
}

async fn install(
    State(api): State<Api>,
    Auth(caller): Auth,
    Params(options): Params<InstallOptions>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let bytes = archive(&api, &headers, body).await?;
    let plugin = api.engine.install_plugin(&caller, bytes, options).await?;
    Ok(json_response(StatusCode::CREATED, &plugin))
}

async fn upgrade(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Params(UpgradeParams { unsigned, grant_all, dry_run }): Params<UpgradeParams>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let bytes = archive(&api, &headers, body).await?;
    let options = InstallOptions { unsigned, grant_all };
    if dry_run {
        let folder = api.data.join(SCRATCH_FOLDER);
        let told = api.engine.rehearse_upgrade(&caller, &id, bytes, (options, folder)).await?;
        return Ok(json_response(StatusCode::OK, &told));
    }
    Ok(moved(&api.engine.upgrade_plugin(&caller, &id, bytes, options).await?))
}

/// A plugin whose data may still be on their way.
fn moved(plugin: &Json) -> Response {
    let open = matches!(plugin["migration"]["state"].as_str(), Some("running" | "taking_back"));
    json_response(if open { StatusCode::ACCEPTED } else { StatusCode::OK }, plugin)
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.plugins(&caller)?))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.plugin(&caller, &id)?))
}

async fn grant(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let grant: Grant = read_typed(&api, &headers, body).await?;
    Ok(moved(&api.engine.grant_plugin(&caller, &id, &grant).await?))
}

async fn roll_back(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Params(RollBackParams { undo_data }): Params<RollBackParams>,
) -> Answer {
    let data = if undo_data { MovedData::Undo } else { MovedData::Refuse };
    Ok(moved(&api.engine.roll_back_plugin(&caller, &id, data).await?))
}

async fn abandon(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(moved(&api.engine.abandon_upgrade(&caller, &id).await?))
}

async fn disable(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.disable_plugin(&caller, &id).await?))
}

async fn enable(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.enable_plugin(&caller, &id).await?))
}

async fn uninstall(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.uninstall_plugin(&caller, &id).await?))
}

async fn publishers(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.publishers(&caller)?))
}

async fn trust_publisher(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let KeyBody { key } = read_typed(&api, &headers, body).await?;
    Ok(json_response(StatusCode::OK, &api.engine.trust_publisher(&caller, &name, &key).await?))
}

async fn blocked(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    Ok(list_response(api.engine.blocked_packages(&caller)?))
}

async fn block(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(digest): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let BlockBody { reason } = read_typed(&api, &headers, body).await?;
    Ok(json_response(StatusCode::OK, &api.engine.block_package(&caller, &digest, &reason).await?))
}

async fn unblock(State(api): State<Api>, Auth(caller): Auth, Path(digest): Path<String>) -> Answer {
    api.engine.unblock_package(&caller, &digest).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
