//! Functions of scripts that a plugin calls: found among what was live when the slice began, run as pure code within what the slice
//! has left.

use std::sync::Arc;
use std::time::Instant;

use rapport_model::automation::Need;
use rapport_model::nearest::nearest;
use rapport_model::{AutomationId, Digest};
use rapport_sandbox::work::FunctionCall;
use rapport_sandbox::{Allowance, GuestFailure, HostError, Output, ScriptCall, SliceReport, Spent};

use super::pure::PureHost;
use super::{Answer, SliceHost, store_failure};
use crate::entropy::Stream;
use crate::registry::{AutomationKind, Version};
use crate::slice::shown::outcome;

/// The part of what is left that stays with the caller, so that one whose function needs too much can say so.
const KEPT_PART: u64 = 16;
/// How much of arguments and result the trace shows.
const SHOWN_CHARS: usize = 200;

/// What a function of a script came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its result, JSON.
    pub(crate) result: String,
    /// The version of the script.
    pub(crate) digest: Digest,
}

impl SliceHost {
    /// Calls a function of a live script, and puts it on the trace with the version of the script.
    pub(crate) async fn traced_script(&mut self, call: ScriptCall) -> (Answer<Ran>, Spent) {
        let started = Instant::now();
        let about = shown(&format!("{} {}({})", call.script, call.function, call.arguments));
        let mut spent = Spent::default();
        let answer = match self.live_script(&call.script).await {
            Ok(version) => self.function_of(&version, call, &mut spent).await,
            Err(error) => Err(error),
        };
        let told = outcome(&answer, |ran| format!("{} by version {}", shown(&ran.result), ran.digest.short()));
        self.trace.call("scripts.run", &about, &told, started);
        (answer, spent)
    }

    /// The version of `script` that was live when the slice began, if this plugin may call it.
    async fn live_script(&self, script: &str) -> Answer<Arc<Version>> {
        let Ok(id) = AutomationId::new(script) else {
            return Err(HostError::permanent("invalid", format!("`{}` is no name of a script", shown(script))));
        };
        self.allow(Need::Script(id.as_str()))?;
        if let Some(version) = self.live.version(&id) {
            if version.kind == AutomationKind::Script {
                return Ok(version.clone());
            }
            let message = format!("`{id}` is a plugin: its actions are called with `invoke`");
            return Err(HostError::permanent("not_a_script", message));
        }
        let known = self.store.automations().await.map_err(store_failure)?;
        if known.iter().any(|row| row.id == id) {
            let message = format!("the script `{id}` is switched off: `rapport script activate {id}` makes it live");
            return Err(HostError::permanent("script_disabled", message));
        }
        let scripts = self.live.active().iter().filter(|v| v.kind == AutomationKind::Script);
        let hint = nearest(script, scripts.map(|v| v.id.as_str()));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Err(HostError::permanent("unknown_script", format!("there is no script `{id}`{hint}")))
    }

    async fn function_of(&mut self, version: &Arc<Version>, call: ScriptCall, spent: &mut Spent) -> Answer<Ran> {
        let ScriptCall { function, arguments, left, .. } = call;
        let left = Allowance { fuel: left.fuel - left.fuel / KEPT_PART, ..left };
        // Drawn from the slice's own, so that the function draws the same when the slice is tried again.
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        let random = Stream::new(&seed);
        let host = PureHost { version: version.clone(), time: self.time, random, logged: Vec::new() };
        let work = FunctionCall { function: function.clone(), arguments };
        let sandbox = self.outbound.sandbox().clone();
        let (report, host) = sandbox.call_function(&version.program, work, (host, left)).await;
        let SliceReport { fuel, host_calls, outcome, output, .. } = report;
        *spent = Spent { fuel, host_calls };
        for (level, line) in host.logged {
            self.trace.log(level, &format!("{}: {line}", version.id));
        }
        match (outcome, output) {
            (Ok(()), Output::Json(result)) => Ok(Ran { result, digest: version.digest }),
            (Ok(()), _) => Ok(Ran { result: "null".to_owned(), digest: version.digest }),
            (Err(failure), _) => Err(of_function(version, &function, (failure, left))),
        }
    }
}

/// What the caller is told of a function that failed.
fn of_function(version: &Version, function: &str, (failure, left): (GuestFailure, Allowance)) -> HostError {
    let id = &version.id;
    let more = match &failure {
        GuestFailure::Failed { code, message, retryable: true } => {
            return HostError::ending(code.clone(), format!("`{function}` of `{id}`: {message}"));
        }
        GuestFailure::Failed { code, message, .. } | GuestFailure::Ended { code, message, .. } => {
            return HostError::permanent(code.clone(), format!("`{function}` of `{id}`: {message}"));
        }
        GuestFailure::Trap(why) => {
            return HostError::permanent("trap", format!("`{function}` of `{id}` broke down: {why}"));
        }
        GuestFailure::OutOfFuel { .. } => format!("the {} units of fuel that the caller had left for it", left.fuel),
        GuestFailure::HostCalls { .. } => format!("the {} host calls that the caller had left", left.host_calls),
        GuestFailure::Deadline { .. } => "the time that the caller had left".to_owned(),
        other => format!("it was allowed: it {other}"),
    };
    HostError::permanent("budget", format!("`{function}` of `{id}` needed more than {more}"))
}

fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(SHOWN_CHARS).collect::<String>())
}
