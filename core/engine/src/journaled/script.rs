//! Functions of scripts that a plugin calls: what one came to stays so for the run, whatever becomes of the script.

use rapport_sandbox::{ScriptCall, Spent};
use serde_json::json;

use super::host::failure;
use super::{Answer, JournaledHost, Step};

const CALL: &str = "scripts.run";

impl JournaledHost {
    /// Calls a function of a script, or tells what it came to. What is told from the journal uses nothing.
    pub(super) async fn function_of_script(&mut self, call: ScriptCall) -> (Answer<String>, Spent) {
        let arguments = json!([call.script, call.function, call.arguments]).to_string();
        let known = match self.step(CALL, &arguments) {
            Err(error) => return (Err(error), Spent::default()),
            Ok(Step::Known(json) | Step::Woken(json)) => json,
            Ok(Step::Live) => {
                let (ran, spent) = self.inner.traced_script(call).await;
                let ran =
                    self.noted(CALL, &arguments, ran, |ran| json!({ "result": ran.result, "version": ran.digest }));
                return (ran.map(|ran| ran.result), spent);
            }
        };
        let result = || known["result"].as_str().unwrap_or("null").to_owned();
        (failure(&known).map_or_else(|| Ok(result()), Err), Spent::default())
    }
}
