//! Rules of bulk reads. They may ask who is in a segment, which the database alone answers.

use std::sync::Arc;

use rapport_model::automation::Need;
use rapport_model::nearest::nearest;
use rapport_model::rule::{Membership, ParamTypes, Params, Rule};
use rapport_model::{Name, ObjectDef, SegmentName};
use rapport_sandbox::HostError;

use super::{Answer, SliceHost};

/// The names of segments that a refusal lists.
const LISTED_MAX: usize = 12;

fn invalid(filter: &str, why: impl std::fmt::Display) -> HostError {
    HostError::permanent("invalid_rule", format!("in `{filter}`: {why}"))
}

impl SliceHost {
    /// The rule of a bulk read, if it may read whatever other records the rule looks at.
    pub(super) fn bulk_rule(&self, object: &Arc<ObjectDef>, filter: &str, params: &Params) -> Answer<Option<Rule>> {
        if filter.trim().is_empty() {
            return Ok(None);
        }
        let rule = self.lookup.bulk_rule(&self.schema, object, filter, &ParamTypes::of(params));
        let rule = rule.map_err(|why| invalid(filter, why))?;
        rule.references().iter().try_for_each(|reference| self.allow(Need::Read(reference.object.as_str())))?;
        rule.memberships().iter().try_for_each(|asked| self.may_ask(object, filter, asked))?;
        Ok(Some(rule))
    }

    /// Passes if the segment is one of the object whose records are asked about, and that may be read.
    fn may_ask(&self, object: &ObjectDef, filter: &str, asked: &Membership) -> Answer<()> {
        let (name, object) = (&asked.segment, asked.object.as_ref().unwrap_or(&object.name));
        self.allow(Need::Read(object.as_str()))?;
        if !self.knows_members {
            let message = format!(
                "in `{filter}`: who is in `{name}` is not known here: a backtest, a rehearsal and the replay of a run have the \
                 records, and judge no segments; ask for fields in its place"
            );
            return Err(HostError::permanent("members_unknown", message));
        }
        match self.live.segments().find(name) {
            Some((_, segment)) if segment.def.object == *object => Ok(()),
            Some((_, segment)) => {
                let other = &segment.def.object;
                let why = format!("the segment `{name}` is one of `{other}`, not of `{object}`");
                Err(invalid(filter, format!("{why}; {}", self.segments_of(object, name))))
            }
            None => Err(invalid(filter, format!("there is no segment `{name}`; {}", self.segments_of(object, name)))),
        }
    }

    /// The segment of `object` that is meant by `name`, or those that there are.
    fn segments_of(&self, object: &Name, name: &SegmentName) -> String {
        let live = self.live.segments();
        let all = live.all().iter().filter(|segment| segment.def.object == *object);
        let mut known: Vec<&str> = all.map(|segment| segment.def.name.as_str()).collect();
        known.sort_unstable();
        if let Some(near) = nearest(name.as_str(), known.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        match known.len() {
            0 => format!("`{object}` has no segments"),
            n if n > LISTED_MAX => format!("of `{object}` there are `{}`, …", known[..LISTED_MAX].join("`, `")),
            _ => format!("of `{object}` there are `{}`", known.join("`, `")),
        }
    }
}
