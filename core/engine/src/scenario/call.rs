//! Takes the step that calls an action.

use serde_json::{Value as Json, json};

use super::compare::{Comparison, Names};
use super::expect::Judge;
use super::play::{Halt, Player};
use super::report::Difference;
use super::{Call, below};
use crate::actions::ActionAnswer;
use crate::error::EngineError;

impl Player<'_> {
    /// Calls the action and holds what comes of it against what is expected: a failure that is not is one of the step.
    pub(super) async fn call(&self, call: &Call, pointer: &str) -> Result<Vec<Difference>, Halt> {
        let answer = self.engine.call_and_settle(&self.caller, &call.action, call.input.clone()).await;
        self.engine.settle().await;
        self.check_calls()?;
        let place = below(pointer, "expect");
        let names = Names::new();
        let mut comparison = Comparison { names: &names, differences: Vec::new() };
        let found = match answer {
            Err(EngineError::ActionFailed { code, message, .. }) if call.error.is_none() => {
                return Err(Halt::Refused(format!("`{}` failed: {code}: {message}", call.action)));
            }
            Err(EngineError::ActionFailed { code, .. }) => json!({ "error": code }),
            Err(error) => match &call.error {
                Some(_) => json!({ "error": error.code() }),
                None => return Err(error.into()),
            },
            Ok(ActionAnswer::Open { status, .. }) => json!({ "status": status.as_str() }),
            Ok(ActionAnswer::Output { output, .. }) => json!({ "output": output }),
        };
        for (name, wanted) in wanted(call) {
            let found = found.get(name).cloned().unwrap_or_else(|| found.clone());
            comparison.compare((&below(&place, name), name), &wanted, &found);
        }
        let mut differences = comparison.differences;
        if let Some(expect) = &call.expect {
            let judge = Judge { engine: &self.engine, began: self.began };
            differences.extend(judge.judge(&place, expect).await?);
        }
        Ok(differences)
    }
}

fn wanted(call: &Call) -> Vec<(&'static str, Json)> {
    let output = call.output.clone().map(|output| ("output", output));
    let error = call.error.as_deref().map(|code| ("error", json!(code)));
    let waits = call.waits.then(|| ("status", json!("waiting")));
    output.into_iter().chain(error).chain(waits).collect()
}
