//! Plugins: what their authors and admins wait for: the scenario of a new plugin, an install, a start with fifty of them.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::figure::Figure;
use super::lab::Lab;
use crate::server::{self, Server, Start};
use crate::workspace::{command, root, run as done};

/// Plugins of the start.
const PLUGINS: usize = 50;
/// Starts that are measured, after one that fills the cache.
const STARTS: usize = 5;

/// Measures them.
///
/// # Errors
/// If a plugin does not build, or a server does not start.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "plugins")?;
    let hello = lab.folder().join("hello");
    done(quiet(binary, &["plugin", "new", "hello"]).current_dir(lab.folder()))?;
    done(&mut quiet(binary, &["plugin", "build", &hello.display().to_string()]))?;
    let mut figures = vec![tested(binary, &hello)?, installed(binary, &lab)?];
    figures.push(started(binary, &lab, &hello)?);
    Ok(figures)
}

fn quiet(binary: &Path, arguments: &[&str]) -> std::process::Command {
    let mut rapport = command(binary);
    rapport.args(arguments).stdout(Stdio::null());
    rapport
}

/// `plugin test` of the new plugin, the second time.
fn tested(binary: &Path, hello: &Path) -> Result<Figure> {
    let data = hello.with_file_name("cache").display().to_string();
    let hello = hello.display().to_string();
    let test = || done(&mut quiet(binary, &["plugin", "test", &hello, "--data", &data]));
    test()?;
    let began = Instant::now();
    test()?;
    Ok(Figure::new("plugins: `plugin test` of a new plugin, warm", began.elapsed().as_secs_f64(), "s").under(3.0))
}

/// From the package of the points program, 1.1 MB of component, to the first answer of one of its actions.
fn installed(binary: &Path, lab: &Lab) -> Result<Figure> {
    server::build_plugin(binary, "plugins/loyalty")?;
    let package = lab.folder().join("loyalty.rapport");
    let source = root().join("plugins/loyalty").display().to_string();
    done(&mut quiet(binary, &["plugin", "pack", &source, "--out", &package.display().to_string()]))?;
    let data = lab.folder().join("install");
    let server = Server::start(binary, &Start { data: &data, arguments: Vec::new(), core: None })?;
    let bytes = std::fs::read(&package)?;
    let began = Instant::now();
    let path = "/v1/plugins?grant_all=true&unsigned=true";
    for (path, kind, body) in [
        (path, "application/octet-stream", bytes.as_slice()),
        ("/v1/actions/loyalty.liability", "application/json", b"{}".as_slice()),
    ] {
        let answer = server.call("POST", path, kind, body)?;
        if !answer.is_success() {
            bail!("{path} was answered with {}: {}", answer.status, answer.excerpt());
        }
    }
    let took = began.elapsed();
    server.stop()?;
    Ok(Figure::new("plugins: install of 1.1 MB to the first answer of its action, cold", took.as_secs_f64(), "s")
        .under(2.0))
}

/// The component `component` with a section of its own, so that it has another digest than the others.
fn apart(component: &[u8], n: usize) -> Vec<u8> {
    let text = format!("number {n:04}");
    let length = |part: &str| u8::try_from(part.len()).unwrap_or(0);
    let name = "bench";
    let mut all = component.to_vec();
    // A custom section: 0, the length of all that follows, the name with its length, the content.
    all.extend([0, 1 + length(name) + length(&text), length(name)]);
    all.extend(name.bytes().chain(text.bytes()));
    all
}

/// A start with fifty plugins, each of a component of its own, beside one with none; the worst of several counts.
fn started(binary: &Path, lab: &Lab, hello: &Path) -> Result<Figure> {
    let manifest = std::fs::read_to_string(hello.join("plugin.toml"))?;
    let component = std::fs::read(hello.join("hello.wasm")).context("the plugin is not built")?;
    let plugins = lab.folder().join("plugins");
    for n in 0..PLUGINS {
        let (id, folder) = (format!("hello-{n}"), plugins.join(format!("hello-{n}")));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("plugin.toml"), manifest.replacen("id = \"hello\"", &format!("id = \"{id}\""), 1))?;
        std::fs::write(folder.join(format!("{id}.wasm")), apart(&component, n))?;
    }
    let worst = |name: &str, arguments: &[String]| -> Result<Duration> {
        let data = lab.folder().join(name);
        let start = || Server::start(binary, &Start { data: &data, arguments: arguments.to_vec(), core: None });
        start()?.stop()?;
        let mut worst = Duration::ZERO;
        for _ in 0..STARTS {
            let server = start()?;
            worst = worst.max(server.ready_after);
            server.stop()?;
        }
        Ok(worst)
    };
    let (with, without) =
        (worst("with", &["--plugins".to_owned(), plugins.display().to_string()])?, worst("without", &[])?);
    let more = with.saturating_sub(without).as_secs_f64() * 1e3;
    Ok(Figure::new("plugins: what fifty add to a start, warm", more, "ms").under(100.0))
}
