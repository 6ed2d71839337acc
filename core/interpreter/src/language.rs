//! The language: which parts of Rhai there are, and how far its own limits go.
//!
//! Rhai's limits on operations and sizes are off, since they are weaker than their names and make building a container
//! quadratic; fuel and the memory of the instance bound a script instead. Only what would overflow the stack is bounded here.

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Engine, Module, OptimizationLevel, Token};

use crate::{check, functions, numbers};

/// The deepest nesting of function calls.
pub(crate) const CALL_LEVELS_MAX: usize = 64;
/// The deepest nesting of expressions, at the top level and in functions.
const EXPRESSION_DEPTH_MAX: usize = 64;

/// Words that are part of the language although they look like functions.
pub(crate) const KEYWORDS: [&str; 9] =
    ["Fn", "call", "curry", "is_def_fn", "is_def_var", "is_shared", "type_of", "print", "debug"];

/// The engine that runs scripts: everything callable, declarations without effect.
pub(crate) fn for_runs() -> Engine {
    let mut engine = bare();
    functions::register(&mut engine);
    engine
}

/// The engine that evaluates the top level of a script: nothing but declarations is callable.
pub(crate) fn for_checks(collector: &check::Collector) -> Engine {
    let mut engine = bare();
    collector.register(&mut engine);
    engine
}

/// The names of all functions that a script can call when it runs.
pub(crate) fn function_names() -> Vec<String> {
    let mut names: Vec<_> = signatures().into_iter().map(|(name, _)| name).collect();
    names.dedup();
    names
}

/// Name and number of parameters of every function that a script can call when it runs.
pub(crate) fn signatures() -> Vec<(String, usize)> {
    let engine = for_runs();
    let named = |f: rhai::FuncInfo<'_>| Some((f.metadata.name.to_string(), f.metadata.num_params));
    let mut all = engine.collect_fn_metadata(None, named, true);
    all.retain(|(name, _)| name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains('$'));
    all.sort();
    all.dedup();
    all
}

fn bare() -> Engine {
    let mut engine = Engine::new_raw();
    engine
        .set_optimization_level(OptimizationLevel::Simple)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_fast_operators(true)
        .set_max_call_levels(CALL_LEVELS_MAX)
        .set_max_expr_depths(EXPRESSION_DEPTH_MAX, EXPRESSION_DEPTH_MAX)
        .disable_symbol("eval");
    allow_default_as_name(&mut engine);
    let mut library = Module::new();
    ArithmeticPackage::init(&mut library);
    BasicArrayPackage::init(&mut library);
    BasicFnPackage::init(&mut library);
    BasicIteratorPackage::init(&mut library);
    BasicMapPackage::init(&mut library);
    BasicMathPackage::init(&mut library);
    BasicStringPackage::init(&mut library);
    LogicPackage::init(&mut library);
    MoreStringPackage::init(&mut library);
    // Rhai looks through the packages' functions one by one unless they are put into its table: some 5 µs for each miss.
    library.register_lazy_functions();
    engine.register_global_module(library.into());
    numbers::register(&mut engine);
    engine
}

/// Rhai reserves `default` without using it; declarations read best with it as a name: `#{ default: 0 }`.
#[expect(deprecated, reason = "the hook is not deprecated, only marked as volatile; the version of Rhai is pinned")]
fn allow_default_as_name(engine: &mut Engine) {
    engine.on_parse_token(|token, _, _| match token {
        Token::Reserved(word) if *word == "default" => Token::Identifier(word),
        other => other,
    });
}
