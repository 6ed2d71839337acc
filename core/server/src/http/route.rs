//! One route: its handler, and what `openapi.json` says of it.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::Api;

/// A query parameter or header.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// `query` or `header`.
    pub place: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The JSON Schema type.
    pub kind: &'static str,
    /// What it means.
    pub about: &'static str,
}

/// A body that a route takes.
#[derive(Debug, Clone, Copy)]
pub struct Takes {
    /// Its media type.
    pub media: &'static str,
    /// The name of its schema in `components`, or empty for any JSON.
    pub schema: &'static str,
}

/// A route and its documentation.
pub struct Route {
    /// The method in lower case.
    pub method: &'static str,
    /// The path with `{parameters}`.
    pub path: &'static str,
    /// The group it is shown in.
    pub tag: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// The scope a key needs; `None`: no key is needed.
    pub scope: Option<&'static str>,
    /// Query parameters and headers.
    pub params: Vec<Param>,
    /// Bodies it takes.
    pub takes: Vec<Takes>,
    /// Statuses it answers when it succeeds, with what they mean.
    pub answers: Vec<(u16, &'static str)>,
    /// The media type of the answer.
    pub gives: &'static str,
    /// The handler.
    pub handler: MethodRouter<Api>,
}

impl Route {
    /// A route that needs a key with `scope`, or none if it is empty.
    pub(super) fn new<H, T>(method: MethodFilter, path: &'static str, scope: &'static str, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        Self {
            method: name_of(method),
            path,
            tag: "",
            summary: "",
            scope: Some(scope).filter(|s| !s.is_empty()),
            params: Vec::new(),
            takes: Vec::new(),
            answers: Vec::new(),
            gives: "application/json",
            handler: on(method, handler),
        }
    }

    pub(super) const fn about(mut self, tag: &'static str, summary: &'static str) -> Self {
        self.tag = tag;
        self.summary = summary;
        self
    }

    pub(super) fn query(mut self, name: &'static str, kind: &'static str, about: &'static str) -> Self {
        self.params.push(Param { place: "query", name, kind, about });
        self
    }

    pub(super) fn header(mut self, name: &'static str, about: &'static str) -> Self {
        self.params.push(Param { place: "header", name, kind: "string", about });
        self
    }

    pub(super) fn takes(mut self, media: &'static str, schema: &'static str) -> Self {
        self.takes.push(Takes { media, schema });
        self
    }

    pub(super) fn answers(mut self, status: u16, about: &'static str) -> Self {
        self.answers.push((status, about));
        self
    }

    pub(super) const fn gives(mut self, media: &'static str) -> Self {
        self.gives = media;
        self
    }
}

fn name_of(method: MethodFilter) -> &'static str {
    let names = [
        (MethodFilter::POST, "post"),
        (MethodFilter::PUT, "put"),
        (MethodFilter::PATCH, "patch"),
        (MethodFilter::DELETE, "delete"),
    ];
    names.iter().find(|(m, _)| *m == method).map_or("get", |(_, name)| name)
}
