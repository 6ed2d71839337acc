//! What names mean.

use std::sync::Arc;

use super::super::Scope;
use super::super::lexer::{Fault, brief};
use super::super::names::suggestion;
use super::super::parser::{Ast, AstKind};
use super::super::tree::{Base, FieldTerm, TagsTerm, Term};
use super::Checker;
use super::kind::{Kind, Typed};
use crate::name::Name;
use crate::record::SYSTEM_FIELDS;
use crate::schema::{FieldDef, FieldKind, ObjectDef};

impl<'a> Checker<'a> {
    pub(super) fn is_param(&self, name: &str) -> bool {
        self.params.get(name).is_some() && self.own(name).is_none()
    }

    /// The meaning of a bare name.
    pub(super) fn name(&self, name: &str, at: usize) -> Result<Typed<'a>, Fault> {
        match (self.own(name), self.params.get(name)) {
            (Some(_), Some(_)) => {
                let message = format!("`{name}` is both a field and a parameter");
                Err(Fault::new(at, message, "give the parameter another name"))
            }
            (Some((term, kind)), None) => Ok(Typed { term: Term::Field(term), kind }),
            (None, Some(kind)) => Ok(param(name, kind.as_ref())),
            (None, None) => {
                if let Some(typed) = self.own_object().and_then(|object| formula(object, &Base::Own, None, name)) {
                    return Ok(typed);
                }
                let known = self.own_names().chain(self.params.names());
                Err(Fault::new(at, format!("unknown name `{}`", brief(name)), suggestion(name, known)))
            }
        }
    }

    /// The meaning of `of.name`.
    pub(super) fn member(&self, of: &Ast, name: &str, at: usize) -> Result<Typed<'a>, Fault> {
        let AstKind::Name(base) = &of.kind else {
            let message = "only one step to another record is possible";
            return Err(Fault::new(at, message, "write `reference.field`; a function needs brackets: `name.lower()`"));
        };
        if let Some((base, object)) = self.special(base) {
            let outside = (base == Base::Subject).then(|| object.name.clone());
            return field_of(object, base, outside, name, at);
        }
        match self.own(base) {
            Some((FieldTerm { name: via, kind: FieldKind::Reference { object }, .. }, _)) => {
                let Some(target) = self.schema.object(object.as_str()) else {
                    return Err(Fault::new(at, format!("there is no object `{object}`"), ""));
                };
                field_of(target, Base::Through(via), Some(object), name, at)
            }
            Some(_) => {
                let message = format!("`{}` is no reference: it has no field `{}`", brief(base), brief(name));
                Err(Fault::new(at, message, "a function needs brackets: `name.lower()`"))
            }
            None if self.params.get(base).is_some() => {
                Err(Fault::new(at, format!("`{}` is a parameter: it has no fields", brief(base)), ""))
            }
            None => {
                let known = self.own_names().chain(self.special_names().iter().copied());
                Err(Fault::new(of.at, format!("unknown name `{}`", brief(base)), suggestion(base, known)))
            }
        }
    }

    /// The tags that a term is, if it is.
    pub(super) fn tags_of(&self, typed: &Typed<'a>) -> Option<TagsTerm> {
        let Typed { term: Term::Field(field), kind: Kind::Tags } = typed else { return None };
        let own = match self.scope {
            Scope::Record(object) | Scope::Change(object) => Some(&object.name),
            Scope::Event { .. } => None,
        };
        Some(TagsTerm { object: field.object.as_ref().or(own)?.clone(), field: field.clone() })
    }

    /// `before`, `after` and `subject`, where the scope has them.
    fn special(&self, name: &str) -> Option<(Base, &'a Arc<ObjectDef>)> {
        match (self.scope, name) {
            (Scope::Change(object), "before") => Some((Base::Before, object)),
            (Scope::Change(object), "after") => Some((Base::After, object)),
            (Scope::Event { subject: Some(object), .. }, "subject") => Some((Base::Subject, object)),
            _ => None,
        }
    }

    fn special_names(&self) -> &'static [&'static str] {
        match self.scope {
            Scope::Record(_) | Scope::Event { subject: None, .. } => &[],
            Scope::Change(_) => &["before", "after"],
            Scope::Event { subject: Some(_), .. } => &["subject"],
        }
    }

    fn own(&self, name: &str) -> Option<(FieldTerm, Kind<'a>)> {
        match self.scope {
            Scope::Record(object) | Scope::Change(object) => field(object, Base::Own, None, name),
            Scope::Event { kind, .. } => declared(&kind.fields, Base::Own, None, name),
        }
    }

    fn own_object(&self) -> Option<&'a Arc<ObjectDef>> {
        match self.scope {
            Scope::Record(object) | Scope::Change(object) => Some(object),
            Scope::Event { .. } => None,
        }
    }

    fn own_names(&self) -> impl Iterator<Item = &'a str> + Clone {
        let (fields, system): (&'a [FieldDef], &'static [&'static str]) = match self.scope {
            Scope::Record(object) | Scope::Change(object) => (&object.fields, &SYSTEM_FIELDS),
            Scope::Event { kind, .. } => (&kind.fields, &[]),
        };
        fields.iter().map(|def| def.name.as_str()).chain(system.iter().copied())
    }
}

fn param<'a>(name: &str, kind: Option<&'a FieldKind>) -> Typed<'a> {
    let kind = match kind {
        None | Some(FieldKind::Json) => Kind::Unknown,
        Some(kind) => Kind::of(kind),
    };
    let unread = Typed { term: Term::Param(name.into(), kind.param()), kind: Kind::Unknown };
    unread.known(&kind)
}

fn field_of<'a>(
    object: &'a ObjectDef,
    base: Base,
    outside: Option<Name>,
    name: &str,
    at: usize,
) -> Result<Typed<'a>, Fault> {
    if let Some(typed) = formula(object, &base, outside.as_ref(), name) {
        return Ok(typed);
    }
    let (term, kind) = field(object, base, outside, name).ok_or_else(|| {
        let known = object.fields.iter().map(|def| def.name.as_str()).chain(SYSTEM_FIELDS);
        let message = format!("`{}` has no field `{}`", object.name, brief(name));
        Fault::new(at, message, suggestion(name, known))
    })?;
    Ok(Typed { term: Term::Field(term), kind })
}

/// The expression of a formula in the place of its name, read from the record that `base` means.
fn formula<'a>(object: &'a ObjectDef, base: &Base, outside: Option<&Name>, name: &str) -> Option<Typed<'a>> {
    let formula = object.formula(name)?;
    let term = formula.term.as_ref()?;
    Some(Typed { term: term.of(base, outside), kind: Kind::of(&formula.kind) })
}

fn declared<'a>(fields: &'a [FieldDef], base: Base, object: Option<Name>, name: &str) -> Option<(FieldTerm, Kind<'a>)> {
    let def = fields.iter().find(|def| def.name.as_str() == name)?;
    let term = FieldTerm { base, object, name: def.name.clone(), kind: def.kind.clone() };
    Some((term, Kind::of(&def.kind)))
}

fn field<'a>(object: &'a ObjectDef, base: Base, outside: Option<Name>, name: &str) -> Option<(FieldTerm, Kind<'a>)> {
    let (kind, read_as) = match name {
        "id" => (FieldKind::Reference { object: object.name.clone() }, Kind::Reference(object.name.clone())),
        "version" => (FieldKind::Integer, Kind::Number(0)),
        "created_at" | "updated_at" => (FieldKind::Timestamp, Kind::Time),
        _ => return declared(&object.fields, base, outside, name),
    };
    Some((FieldTerm { base, object: outside, name: Name::new(name).ok()?, kind }, read_as))
}
