//! Precedence, messages and the sample file.

use super::*;
use std::fmt::Write as _;

const MODEL_LIMITS: &str = include_str!("../../../model/src/limits.rs");
const MODEL_FILES: &str = include_str!("../../../model/src/file.rs");
const HERE: &str = include_str!("../config.rs");
const OUTBOUND: &str = include_str!("outbound.rs");

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn refusal(text: &str) -> String {
    check_text("rapport.toml", text).unwrap_err().to_string()
}

fn source(loaded: &Loaded, section: &str, key: &str) -> String {
    loaded.sources[&(section.to_owned(), key.to_owned())].to_string()
}

#[test]
fn nothing_given_is_the_default() {
    let loaded = load(None, [], &Flags::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(source(&loaded, "server", "listen"), "default");
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let file = file("[server]\nlisten = \"file:1\"\nheaders_max = 7\nidle_ms_max = 5\n");
    let mut flags = Flags::default();
    flags.set("server", "listen", Some("flag:3"));
    flags.set("server", "headers_max", None::<String>);
    let env = environment(&[("RAPPORT_SERVER_LISTEN", "env:2"), ("RAPPORT_SERVER_IDLE_MS_MAX", "6"), ("PATH", "x")]);
    let loaded = load(Some(file.path()), env, &flags).unwrap();
    let server = &loaded.config.server;
    assert_eq!((server.listen.as_str(), server.idle_ms_max, server.headers_max), ("flag:3", 6, 7));
    assert_eq!(source(&loaded, "server", "listen"), "flag");
    assert_eq!(source(&loaded, "server", "idle_ms_max"), "environment RAPPORT_SERVER_IDLE_MS_MAX");
    assert_eq!(source(&loaded, "server", "headers_max"), file.path().display().to_string());
    assert_eq!(source(&loaded, "limits", "slice_fuel_max"), "default");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    assert_eq!(
        refusal("[server]\nlisten = \"a\"\n\nsomething_else = 1\nconection_max = 3\n"),
        "rapport.toml:4: there is no key in [server] named `something_else`"
    );
    assert_eq!(
        refusal("# a comment\n[server]\nconection_max = 3\n"),
        "rapport.toml:3: there is no key in [server] named `conection_max`; did you mean `connections_max`?"
    );
    assert_eq!(refusal("[sever]\n"), "rapport.toml:1: there is no section named `sever`; did you mean `server`?");
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_line() {
    assert!(refusal("[server]\n\nheaders_max = \"many\"\n").starts_with("rapport.toml:3: "));
    assert!(refusal("[log]\nformat = \"xml\"\n").starts_with("rapport.toml:2: "));
    assert!(refusal("[limits]\nslice_fuel_max = -1\n").starts_with("rapport.toml:2: "));
    assert!(refusal("server = 3\n").contains("write [server]"));
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line() {
    assert!(refusal("[server]\nlisten = \n").starts_with("rapport.toml:2: "));
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Some(Path::new("nowhere.toml")), [], &Flags::default()).unwrap_err();
    assert!(error.to_string().contains("`nowhere.toml`"));
}

#[test]
fn a_variable_of_the_wrong_type_is_named() {
    let env = environment(&[("RAPPORT_SERVER_HEADERS_MAX", "many")]);
    let error = load(None, env, &Flags::default()).unwrap_err();
    assert_eq!(error.to_string(), "the environment variable `RAPPORT_SERVER_HEADERS_MAX` must be a whole number");
    let env = environment(&[("RAPPORT_AUTOMATIONS_WATCH", "yes")]);
    assert!(load(None, env, &Flags::default()).unwrap_err().to_string().contains("true or false"));
}

#[test]
fn a_stray_variable_is_reported_and_ours_of_other_uses_are_not() {
    let env = environment(&[("RAPPORT_SERVER_LISTN", "x"), ("RAPPORT_KEY_FILE", "y"), ("RAPPORT_SERVER", "z")]);
    let loaded = load(None, env, &Flags::default()).unwrap();
    assert_eq!(loaded.strays, ["RAPPORT_SERVER_LISTN means nothing; did you mean RAPPORT_SERVER_LISTEN?"]);
}

#[test]
fn a_password_is_never_shown() {
    for (given, shown) in [
        ("postgres://ann:s3cret@db.example/crm?password=s3cret", "postgres://ann:***@db.example/crm"),
        ("postgres://ann:p@ss@db/crm", "postgres://ann:***@db/crm"),
        ("postgres://db/crm", "postgres://db/crm"),
        ("s3cret", "***"),
        ("abc://s3cret", "***"),
        ("", ""),
    ] {
        let secret = Secret::new(given);
        assert_eq!(secret.to_string(), shown);
        assert!(!format!("{secret:?}").contains("s3cret"));
        let mut config = Config::default();
        config.storage.database = secret;
        assert!(!toml::to_string(&config).unwrap().contains("s3cret"));
    }
}

#[test]
fn a_secret_survives_the_way_from_file_to_use() {
    let file = file("[storage]\ndatabase = \"postgres://a:b@c/d\"\n");
    let loaded = load(Some(file.path()), [], &Flags::default()).unwrap();
    assert_eq!(loaded.config.storage.database.reveal(), "postgres://a:b@c/d");
}

#[test]
fn the_sample_sets_every_key_to_its_default() {
    let set = check_text("sample", SAMPLE).unwrap();
    let keys: Vec<_> = set.iter().map(|(k, _)| k.clone()).collect();
    let mut known: Vec<_> = Config::default().values().into_keys().collect();
    known.sort();
    let mut sorted = keys;
    sorted.sort();
    assert_eq!(sorted, known);
    assert_eq!(toml::from_str::<Config>(SAMPLE).unwrap(), Config::default());
}

/// The documentation of the fields of `name` in Rust source: (field, lines).
fn docs_of(source: &str, name: &str) -> Vec<(String, Vec<String>)> {
    let (_, body) = source.split_once(&format!("pub struct {name} {{\n")).unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let mut docs = Vec::new();
    let mut lines = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            lines.push(text.to_owned());
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|f| f.split_once(':')) {
            docs.push((field.to_owned(), std::mem::take(&mut lines)));
        }
    }
    docs
}

/// Writes the sample file from the doc comments and the defaults.
fn sample() -> String {
    let values = Config::default().values();
    let sections = [
        ("server", "ServerConfig", HERE),
        ("storage", "StorageConfig", HERE),
        ("automations", "AutomationConfig", HERE),
        ("limits", "Limits", MODEL_LIMITS),
        ("files", "FileRules", MODEL_FILES),
        ("outbound", "OutboundConfig", OUTBOUND),
        ("email", "EmailConfig", OUTBOUND),
        ("webhooks", "WebhookConfig", OUTBOUND),
        ("log", "LogConfig", HERE),
    ];
    let titles = docs_of(HERE, "Config");
    let mut text = String::from(
        "# The configuration of Rapport: every key with its default. A flag beats the environment\n\
         # (RAPPORT_SECTION_KEY), which beats this file.\n",
    );
    for (section, name, source) in sections {
        let title = &titles.iter().find(|(f, _)| f == section).unwrap().1;
        if section == "webhooks" {
            named_sample(&mut text, &title.join(" "), &toml::Table::try_from(WebhookConfig::default()).unwrap());
            continue;
        }
        writeln!(text, "\n# {}\n[{section}]", title.join(" ")).unwrap();
        for (field, lines) in docs_of(source, name) {
            for line in lines {
                writeln!(text, "# {line}").unwrap();
            }
            writeln!(text, "{field} = {}", values[&(section.to_owned(), field.clone())]).unwrap();
        }
    }
    text
}

/// Writes a section that there may be many of: a comment, since none is there by default.
fn named_sample(text: &mut String, title: &str, defaults: &toml::Table) {
    writeln!(text, "\n# {title} Each has a name of its own.\n# [webhooks.NAME]").unwrap();
    for (field, lines) in docs_of(OUTBOUND, "WebhookConfig") {
        for line in lines {
            writeln!(text, "# # {line}").unwrap();
        }
        writeln!(text, "# {field} = {}", defaults[&field]).unwrap();
    }
}

#[test]
fn the_sample_file_is_what_the_doc_comments_say() {
    let sample = sample();
    if std::env::var_os("UPDATE_SAMPLE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/rapport.sample.toml"), &sample).unwrap();
        return;
    }
    assert!(SAMPLE == sample, "run this test with UPDATE_SAMPLE=1 and commit rapport.sample.toml");
}

#[test]
fn webhooks_have_names_of_the_operators_choice() {
    let file = file("[webhooks.shop]\nurl = \"https://shop.example/hook\"\nsecrets = [\"old\", \"new\"]\n");
    let loaded = load(Some(file.path()), [], &Flags::default()).unwrap();
    let shop = &loaded.config.webhooks["shop"];
    assert_eq!((shop.url.as_str(), shop.secrets.len(), shop.timeout_ms), ("https://shop.example/hook", 2, 15_000));
    assert_eq!(source(&loaded, "webhooks", "shop"), file.path().display().to_string());
    let refused = refusal("[webhooks.shop]\nurl = \"x\"\nulr = \"y\"\n");
    assert!(refused.starts_with("rapport.toml:3: ") && refused.contains("`ulr`"), "{refused}");
    assert!(refusal("[webhooks]\nurl = \"x\"\n").starts_with("rapport.toml:2: "));
    assert!(refusal("[webhook.shop]\n").contains("did you mean `webhooks`?"));
}

#[test]
fn networks_are_read_from_file_and_environment_and_a_wrong_one_is_named() {
    let env = environment(&[
        ("RAPPORT_OUTBOUND_ALLOW_ADDRESSES", "127.0.0.1, 10.0.0.0/8,"),
        ("RAPPORT_EMAIL_SMTP_HOST", "mail.example"),
        ("RAPPORT_EMAIL_SMTP_PORT", "25"),
        ("RAPPORT_EMAIL_PASSWORD", "s3cret"),
    ]);
    let config = load(None, env, &Flags::default()).unwrap().config;
    let networks: Vec<_> = config.outbound.allow_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["127.0.0.1/32", "10.0.0.0/8"]);
    assert_eq!((config.email.smtp_host.as_str(), config.email.smtp_port), ("mail.example", 25));
    assert_eq!(config.email.password.reveal(), "s3cret");
    let refused = refusal("[outbound]\nenabled = true\nallow_addresses = [\"10.0.0.0/40\"]\n");
    assert!(refused.starts_with("rapport.toml:3: `10.0.0.0/40` is not a network"), "{refused}");
}
