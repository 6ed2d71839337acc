//! The plugin as visitors, shops and operators meet it, on the fake host.

mod embedded;
mod flows;
mod hostile;
mod stage;
mod visits;
