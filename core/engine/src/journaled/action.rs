//! `invoke` of an action: the run of one that does something is waited for, one that only reads is answered at once.

use rapport_model::run::invoked_run_id;
use serde_json::{Value as Json, json};

use super::invoke::ended_kind;
use super::{Answer, JournaledHost};
use crate::waits::Wanted;

/// What came of a call.
pub(super) enum Invoked {
    /// A run was started; what to wait for.
    Started(Json),
    /// Its output.
    Answered(Json),
}

impl JournaledHost {
    /// Calls the action `name`.
    pub(super) async fn call_live(&mut self, name: &str, input: &str) -> Answer<Invoked> {
        let (callee, input) = self.inner.callee(name, input)?;
        let call = self.call_number();
        if callee.action().readonly {
            return self.inner.read_with(&callee, &input, call).await.map(Invoked::Answered);
        }
        self.inner.count_writes()?;
        let lane = self.inner.lane_record(&callee, &input).await?;
        let child = invoked_run_id(self.inner.run, call);
        self.inner.events.push(callee.event(child, input, lane.as_deref(), self.inner.time));
        let mut request = Wanted::to_json(&ended_kind()?, "", &[]);
        request["run"] = json!(child.to_string());
        Ok(Invoked::Started(request))
    }
}
