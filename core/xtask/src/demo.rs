//! `cargo xtask demo`: a year of real orders, loaded through the public API, and what scripts and plugins make of them.
//!
//! The figures are read back through the API and held against a sum over the file that shares no code with the product. The data
//! stay in `data/demo`: a second run finds them and changes nothing.

mod customers;
pub(crate) mod expected;
mod listen;
mod program;
mod report;
mod story;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::demo::expected::Expected;
use crate::demo::report::{Load, Report};
use crate::server::{self, Server, Start};
use crate::tools;
use crate::workspace::{command, root};

/// The orders of the demo.
pub(crate) const ORDERS: &str = "tests/data/online-retail-orders.csv";
/// How `rapport import` says that it is done but refused some rows.
const PARTLY_REFUSED: i32 = 3;

/// How long runs may take that are left when the import ends.
const SETTLED_MAX: Duration = Duration::from_mins(2);

/// Which column goes where.
const MAPPING: [&str; 7] = [
    "order_no=order_no",
    "customer.customer_no=customer_no",
    "customer.country=country",
    "ordered_at=ordered_at",
    "amount=amount",
    "country=country",
    "line_count=lines",
];

/// What is asked of the demo.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Ends after the table instead of serving on.
    once: bool,
    /// Where the data lie.
    data: PathBuf,
}

impl Options {
    /// Reads the arguments after `demo`.
    ///
    /// # Errors
    /// If one is unknown, or `--data` names no folder.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { once: false, data: root().join("data/demo") };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--once" => options.once = true,
                "--data" => options.data = std::path::absolute(rest.next().context("`--data` needs a folder")?)?,
                other => bail!("`demo` has no option `{other}`: only --once and --data DIR"),
            }
        }
        Ok(options)
    }
}

/// Builds, serves, loads, and tells.
///
/// # Errors
/// If a step fails, or the workspace differs from what the file must lead to.
pub(crate) fn run(options: &Options) -> Result<()> {
    tools::ensure_guest_target()?;
    let binary = server::build()?;
    for plugin in ["tiers", "loyalty", "survey", "desk"] {
        server::build_plugin(&binary, &format!("plugins/{plugin}"))?;
    }
    let arguments = ["--scripts", "scripts", "--plugins", "plugins"].map(ToOwned::to_owned).to_vec();
    let server = Server::start(&binary, &Start { data: &options.data, arguments, core: None })?;
    println!("\nserving on http://{} (data in {})", server.address, options.data.display());
    let refused = options.data.join("online-retail.refused.csv");
    program::set_up(&binary, &server)?;
    let load = import(&binary, &server, &options.data, &refused)?;
    let expected = Expected::from_file(&root().join(ORDERS))?;
    settle(&server)?;
    let report = Report::read(&server, &refused)?;
    println!("\n{}", report.table(&expected, load.as_ref()));
    println!("  The refused rows, each with its line and reason: {}", refused.display());
    report.compare(&expected)?;
    println!();
    program::tell(&binary, &server, &root().join(ORDERS))?;
    let teller = story::Teller { binary: &binary, server: &server };
    customers::tell(&teller, &server, &root().join(ORDERS))?;
    teller.tell(&options.data)?;
    listen::tell(&teller, &server)?;
    if options.once {
        return server.stop();
    }
    println!("{}", hints(&binary, &server));
    server.wait()
}

/// Loads the orders as history, with a progress bar, and measures the first load.
///
/// # Errors
/// If the import fails.
pub(crate) fn import(binary: &Path, server: &Server, data: &Path, refused: &Path) -> Result<Option<Load>> {
    let kept = data.join("demo-load.json");
    let before = server.metric("rapport_log_head")?;
    let began = Instant::now();
    // A copy beside the data: what an import notes of its progress lies beside its file, and belongs to this workspace alone.
    let orders = data.join("online-retail-orders.csv");
    std::fs::copy(root().join(ORDERS), &orders)
        .with_context(|| format!("cannot copy the orders to {}", orders.display()))?;
    let mut import = command(binary);
    import.arg("import").arg(&orders).args(["--object", "order", "--key", "order_no", "--const", "currency=GBP"]);
    import.args(["--tz", "Europe/London", "--history", "--time", "ordered_at", "--name", "online-retail"]);
    for pair in MAPPING {
        import.args(["--map", pair]);
    }
    import.arg("--refused").arg(refused).args(["--server", &format!("http://{}", server.address)]);
    let status = import.arg("--key-file").arg(&server.key_file).status().context("cannot start the import")?;
    if !status.success() && status.code() != Some(PARTLY_REFUSED) {
        bail!("the import failed: {status}\n{}", server.last_output());
    }
    let millis = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let events = server.metric("rapport_log_head")? - before;
    if Load::read(&kept).is_none() && events >= 1.0 {
        let events = format!("{events:.0}").parse().context("the count of events is no whole number")?;
        Load { events, millis }.write(&kept)?;
    }
    Ok(Load::read(&kept))
}

/// Waits until no run is left to work on; those that wait for people stay.
fn settle(server: &Server) -> Result<()> {
    let began = Instant::now();
    while server.metric("rapport_runs_pending")? > 0.5 {
        if began.elapsed() > SETTLED_MAX {
            bail!(
                "there are runs that have not worked yet after {} s\n{}",
                SETTLED_MAX.as_secs(),
                server.last_output()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What a newcomer may try next.
fn hints(binary: &Path, server: &Server) -> String {
    let shown = binary.strip_prefix(root()).unwrap_or(binary).display();
    let to = format!("--server http://{} --key-file {}", server.address, server.key_file.display());
    format!(
        "
Serving on http://{address} until Ctrl-C; the key is in {key}; documentation: http://{address}/docs

Try:
  {shown} record get customer customer_no:17850 {to}
  {shown} record list customer --where \"tier == 'platinum' && country != 'United Kingdom'\" --order -points {to}
  {shown} run list --automation loyalty/points {to}
",
        address = server.address,
        key = server.key_file.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_can_be_named() {
        let options = Options::parse(&["--once".into(), "--data".into(), "/x/y".into()]).unwrap();
        assert_eq!(options, Options { once: true, data: "/x/y".into() });
    }

    #[test]
    fn an_unknown_option_and_a_missing_folder_are_refused() {
        assert!(Options::parse(&["--twice".into()]).unwrap_err().to_string().contains("--twice"));
        assert_eq!(Options::parse(&["--data".into()]).unwrap_err().to_string(), "`--data` needs a folder");
    }

    #[test]
    fn every_column_of_the_file_is_mapped() {
        let text = std::fs::read_to_string(root().join(ORDERS)).unwrap();
        let columns = text.lines().next().unwrap().split(',');
        for column in columns {
            assert!(MAPPING.iter().any(|pair| pair.split_once('=').unwrap().1 == column), "{column}");
        }
    }
}
