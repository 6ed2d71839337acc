//! `did`, `did_not` and `in_segment`: what a rule asks of the log and of segments.

use std::sync::Arc;

use super::super::history::{Did, HistoryOf};
use super::super::lexer::{Fault, brief};
use super::super::names::suggestion;
use super::super::parser::{Ast, AstKind};
use super::super::tree::{Base, Condition, FieldTerm};
use super::super::{ParamTypes, Rule, Scope};
use super::Checker;
use crate::duration;
use crate::limits::DID_EVENTS_MAX;
use crate::name::{EventType, Name};
use crate::record::SYSTEM_FIELDS;
use crate::schema::{FieldDef, FieldKind, ObjectDef, Origin};
use crate::segment::SegmentName;

const EXAMPLE: &str = "write `did('order.created', {within: '30 days', at_least: 3, where: 'amount > 50'})`";
const OPTIONS: [&str; 3] = ["within", "at_least", "where"];

/// Whether `name` is one of these functions.
pub(super) fn is_one(name: &str) -> bool {
    matches!(name, "did" | "did_not" | "in_segment")
}

impl Checker<'_> {
    pub(super) fn history(&self, name: &str, arguments: &[Ast], at: usize) -> Result<Condition, Fault> {
        let Scope::Record(object) = self.scope else { return Err(out_of_reach(name, at)) };
        let is_in_reach = if name == "in_segment" { self.reach.sees_segments() } else { self.reach.sees_the_log() };
        if !is_in_reach {
            return Err(out_of_reach(name, at));
        }
        match (name, arguments) {
            ("in_segment", [segment]) => Ok(Condition::InSegment(segment_name(segment)?, None)),
            ("in_segment", [segment, of]) => self.in_segment_of(segment, of),
            ("in_segment", _) => {
                let help = "write `in_segment('quiet-vip')`, or `in_segment('quiet-vip', customer)` for what a field refers to";
                Err(Fault::new(at, "`in_segment` takes the name of a segment, and may take a reference field", help))
            }
            (_, [kind]) => self.did(name, object, (kind, &[])),
            (_, [kind, Ast { kind: AstKind::Options(options), .. }]) => self.did(name, object, (kind, options)),
            _ => Err(Fault::new(at, format!("`{name}` takes the type of an event, and options"), EXAMPLE)),
        }
    }

    /// Whether what the reference field `of` refers to belongs to a segment.
    fn in_segment_of(&self, segment: &Ast, of: &Ast) -> Result<Condition, Fault> {
        let segment = segment_name(segment)?;
        if !self.reach.sees_others() {
            let message =
                "`in_segment` with a reference can stand only in bulk queries of plugins and in the API's `where=`";
            let help = "nothing follows segments through a reference: ask for a field of the other record, or make it a \
                        segment of that record's object";
            return Err(Fault::new(of.at, message, help));
        }
        let fields = self.references();
        let known = fields.iter().map(|field| field.name.as_str());
        let AstKind::Name(name) = &of.kind else {
            let message = "the second argument of `in_segment` is the name of a reference field";
            return Err(Fault::new(of.at, message, suggestion("", known)));
        };
        let found = fields.iter().find(|field| field.name.as_str() == name).copied();
        let found = found.ok_or_else(|| {
            let message = format!("`{}` is no reference field", brief(name));
            Fault::new(of.at, message, suggestion(name, known))
        })?;
        let (name, kind) = (found.name.clone(), found.kind.clone());
        Ok(Condition::InSegment(segment, Some(FieldTerm { base: Base::Own, object: None, name, kind })))
    }

    /// The fields of the record that refer to another.
    fn references(&self) -> Vec<&FieldDef> {
        let Scope::Record(object) = self.scope else { return Vec::new() };
        object.fields.iter().filter(|field| matches!(field.kind, FieldKind::Reference { .. })).collect()
    }

    fn did(
        &self,
        name: &str,
        object: &ObjectDef,
        (kind, options): (&Ast, &[(String, Ast)]),
    ) -> Result<Condition, Fault> {
        let text = literal(kind, EXAMPLE)?;
        let (event_type, scope) = self.events_of(text).ok_or_else(|| self.no_such_events(text, kind.at))?;
        let of = if object.lane.is_some() { HistoryOf::Subject } else { HistoryOf::Lane };
        let is_change = matches!(scope, Scope::Change(_));
        let mut did = Did { kind: event_type, within: None, at_least: 1, filter: None, of, is_change };
        for (i, (option, value)) in options.iter().enumerate() {
            if options[..i].iter().any(|(known, _)| known == option) {
                return Err(Fault::new(value.at, format!("`{}` is given twice", brief(option)), ""));
            }
            match option.as_str() {
                "within" => did.within = Some(within(value)?),
                "at_least" => did.at_least = at_least(value)?,
                "where" => did.filter = Some(self.filter(value, &scope)?),
                other => {
                    let message = format!("`{name}` has no option `{}`", brief(other));
                    return Err(Fault::new(value.at, message, suggestion(other, OPTIONS.into_iter())));
                }
            }
        }
        let asked = Condition::Did(Arc::new(did));
        Ok(if name == "did" { asked } else { Condition::Not(Box::new(asked)) })
    }

    /// The events of that type, and what names mean in a rule over what one says.
    fn events_of(&self, text: &str) -> Option<(EventType, Scope)> {
        let kind = EventType::new(text).ok()?;
        if let Some(def) = self.schema.event_type(text) {
            return Some((kind, Scope::Event { kind: def.clone(), subject: None }));
        }
        let (object, "created" | "updated" | "deleted") = text.rsplit_once('.')? else { return None };
        let object = self.schema.object(object).filter(|object| object.origin != Origin::System)?;
        Some((kind, Scope::Change(object.clone())))
    }

    fn no_such_events(&self, text: &str, at: usize) -> Fault {
        let objects = self.schema.objects.values().filter(|object| object.origin != Origin::System);
        let of_records =
            objects.flat_map(|object| ["created", "updated", "deleted"].map(|what| format!("{}.{what}", object.name)));
        let known: Vec<String> = of_records.chain(self.schema.event_types.keys().map(ToString::to_string)).collect();
        let help = suggestion(text, known.iter().map(String::as_str));
        Fault::new(at, format!("there is no event type `{}`", brief(text)), help)
    }

    /// The rule over what an event says.
    fn filter(&self, ast: &Ast, scope: &Scope) -> Result<Rule, Fault> {
        let text = literal(ast, EXAMPLE)?;
        let inside = |message: String, help: String| Fault::new(ast.at, format!("in `where`: {message}"), help);
        let rule = Rule::parse(text, scope, self.schema, &ParamTypes::none());
        let rule = rule.map_err(|e| inside(e.message, e.help))?;
        let alone = "it sees what the event says, and nothing else";
        if let Some(reference) = rule.references().first() {
            return Err(inside(format!("it reads another record (`{}`)", reference.object), alone.to_owned()));
        }
        if rule.reads_clock() {
            return Err(inside("it reads the clock".to_owned(), "`within` says how long ago it may be".to_owned()));
        }
        let system = |name: &&Name| matches!(scope, Scope::Change(_)) && SYSTEM_FIELDS.contains(&name.as_str());
        if let Some(name) = rule.fields().iter().find(system) {
            return Err(inside(format!("no event says `{name}`"), alone.to_owned()));
        }
        Ok(rule)
    }
}

fn segment_name(ast: &Ast) -> Result<SegmentName, Fault> {
    let text = literal(ast, "write `in_segment('quiet-vip')`")?;
    SegmentName::new(text).map_err(|e| Fault::new(ast.at, e.to_string(), ""))
}

fn out_of_reach(name: &str, at: usize) -> Fault {
    let places = match name {
        "in_segment" => "in segments, in `each`, in the API's `where=` and in bulk queries of plugins",
        _ => "in segments, in `each` and in the API's `where=`",
    };
    let help = "make it a segment; triggers and queries of scripts can then look at `segment.entered`";
    Fault::new(at, format!("`{name}` can stand only {places}"), help)
}

fn literal<'n>(ast: &'n Ast, help: &str) -> Result<&'n str, Fault> {
    match &ast.kind {
        AstKind::Text(text) => Ok(text),
        _ => Err(Fault::new(ast.at, "a text in quotes is wanted here", help)),
    }
}

fn within(ast: &Ast) -> Result<i64, Fault> {
    let micros = duration::parse(literal(ast, EXAMPLE)?).map_err(|e| Fault::new(ast.at, e.to_string(), ""))?;
    if micros > 0 { Ok(micros) } else { Err(Fault::new(ast.at, "no event is less than no time ago", EXAMPLE)) }
}

fn at_least(ast: &Ast) -> Result<u32, Fault> {
    let fault = || Fault::new(ast.at, format!("`at_least` is a whole number from 1 to {DID_EVENTS_MAX}"), "");
    match &ast.kind {
        AstKind::Number(number) if number.scale == 0 => {
            u32::try_from(number.units).ok().filter(|n| (1..=DID_EVENTS_MAX).contains(n)).ok_or_else(fault)
        }
        _ => Err(fault()),
    }
}
