//! The contract in Rust, generated from `sdk/wit`. Plugins use the typed interface of this crate instead; the macro
//! [`export!`](crate::export) reaches in here.
//!
//! Each role is a world of its own, so that a component exports the roles that its plugin has and no others.

#![expect(
    missing_docs,
    clippy::pedantic,
    reason = "generated: the documentation is in sdk/wit, and the calls across the border are raw by nature"
)]

wit_bindgen::generate!({
    path: "../wit/0.1",
    world: "imports",
});

/// The role `on-event`.
pub mod on_event {
    wit_bindgen::generate!({
        path: "../wit/0.1",
        world: "role-on-event",
        with: {
            "rapport:plugin/types@0.1.0": crate::bindings::rapport::plugin::types,
            "rapport:plugin/trigger@0.1.0": crate::bindings::rapport::plugin::trigger,
        },
        pub_export_macro: true,
        export_macro_name: "export_on_event",
        default_bindings_module: "rapport_sdk::bindings::on_event",
    });
}

/// The role `on-schedule`.
pub mod on_schedule {
    wit_bindgen::generate!({
        path: "../wit/0.1",
        world: "role-on-schedule",
        with: {
            "rapport:plugin/types@0.1.0": crate::bindings::rapport::plugin::types,
            "rapport:plugin/trigger@0.1.0": crate::bindings::rapport::plugin::trigger,
        },
        pub_export_macro: true,
        export_macro_name: "export_on_schedule",
        default_bindings_module: "rapport_sdk::bindings::on_schedule",
    });
}

/// The role `on-action`.
pub mod on_action {
    wit_bindgen::generate!({
        path: "../wit/0.1",
        world: "role-on-action",
        with: {
            "rapport:plugin/types@0.1.0": crate::bindings::rapport::plugin::types,
            "rapport:plugin/trigger@0.1.0": crate::bindings::rapport::plugin::trigger,
            "rapport:plugin/calls@0.1.0": crate::bindings::rapport::plugin::calls,
        },
        pub_export_macro: true,
        export_macro_name: "export_on_action",
        default_bindings_module: "rapport_sdk::bindings::on_action",
    });
}

/// The role `on-request`.
pub mod on_request {
    wit_bindgen::generate!({
        path: "../wit/0.1",
        world: "role-on-request",
        with: {
            "rapport:plugin/types@0.1.0": crate::bindings::rapport::plugin::types,
            "rapport:plugin/trigger@0.1.0": crate::bindings::rapport::plugin::trigger,
            "rapport:plugin/calls@0.1.0": crate::bindings::rapport::plugin::calls,
        },
        pub_export_macro: true,
        export_macro_name: "export_on_request",
        default_bindings_module: "rapport_sdk::bindings::on_request",
    });
}

/// The role `validator`.
pub mod validator {
    wit_bindgen::generate!({
        path: "../wit/0.1",
        world: "role-validator",
        with: {
            "rapport:plugin/types@0.1.0": crate::bindings::rapport::plugin::types,
            "rapport:plugin/trigger@0.1.0": crate::bindings::rapport::plugin::trigger,
            "rapport:plugin/calls@0.1.0": crate::bindings::rapport::plugin::calls,
        },
        pub_export_macro: true,
        export_macro_name: "export_validator",
        default_bindings_module: "rapport_sdk::bindings::validator",
    });
}

/// The role `compensator`.
pub mod compensator {
    wit_bindgen::generate!({
        path: "../wit/0.1",
        world: "role-compensator",
        with: {
            "rapport:plugin/types@0.1.0": crate::bindings::rapport::plugin::types,
            "rapport:plugin/trigger@0.1.0": crate::bindings::rapport::plugin::trigger,
            "rapport:plugin/calls@0.1.0": crate::bindings::rapport::plugin::calls,
        },
        pub_export_macro: true,
        export_macro_name: "export_compensator",
        default_bindings_module: "rapport_sdk::bindings::compensator",
    });
}

/// The role `migrator`.
pub mod migrator {
    wit_bindgen::generate!({
        path: "../wit/0.1",
        world: "role-migrator",
        with: {
            "rapport:plugin/types@0.1.0": crate::bindings::rapport::plugin::types,
            "rapport:plugin/trigger@0.1.0": crate::bindings::rapport::plugin::trigger,
            "rapport:plugin/calls@0.1.0": crate::bindings::rapport::plugin::calls,
        },
        pub_export_macro: true,
        export_macro_name: "export_migrator",
        default_bindings_module: "rapport_sdk::bindings::migrator",
    });
}
