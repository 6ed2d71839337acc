//! The macro that makes a type the plugin of its library.

/// Makes a type the plugin of this library, in the roles that follow: `on_event`, `on_schedule`, `on_action`, `on_request`, `validate`,
/// `compensate`, `migrate`. For each it implements the trait of that name.
///
/// ```
/// use rapport_sdk::{Call, Error, Event, Json, OnAction, OnEvent};
///
/// struct Counter;
///
/// impl OnEvent for Counter {
///     fn on_event(_: Event) -> Result<(), Error> {
///         rapport_sdk::kv::increment("seen", 1).map(|_| ())
///     }
/// }
///
/// impl OnAction for Counter {
///     fn on_action(_: Call) -> Result<Json, Error> {
///         Ok(serde_json::json!({ "seen": rapport_sdk::kv::text("seen")? }))
///     }
/// }
///
/// rapport_sdk::export!(Counter: on_event, on_action);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:ty : $($role:ident),+ $(,)?) => {
        $($crate::export_role!($role, $plugin);)+
    };
}

/// Exports one role; [`export!`](crate::export) is what plugins write.
#[doc(hidden)]
#[macro_export]
macro_rules! export_role {
    (on_event, $plugin:ty) => {
        // Natively nobody calls it, and it is not to be called unused.
        #[cfg(not(target_family = "wasm"))]
        #[doc(hidden)]
        pub fn rapport_native_on_event() {
            let _ = <$plugin as $crate::OnEvent>::on_event;
        }

        const _: () = {
            struct Component;
            #[cfg(not(target_family = "wasm"))]
            const _: Component = Component;

            impl $crate::bindings::on_event::exports::rapport::plugin::on_event::Guest for Component {
                fn handle(
                    event: $crate::bindings::rapport::plugin::trigger::Event,
                ) -> ::std::result::Result<(), $crate::bindings::rapport::plugin::types::Error> {
                    <$plugin as $crate::OnEvent>::on_event(event.into()).map_err(::std::convert::Into::into)
                }
            }
            #[cfg(target_family = "wasm")]
    $crate::bindings::on_event::export_on_event!(Component with_types_in $crate::bindings::on_event);
        };
    };
    (on_schedule, $plugin:ty) => {
        // Natively nobody calls it, and it is not to be called unused.
        #[cfg(not(target_family = "wasm"))]
        #[doc(hidden)]
        pub fn rapport_native_on_schedule() {
            let _ = <$plugin as $crate::OnSchedule>::on_schedule;
        }

        const _: () = {
            struct Component;
            #[cfg(not(target_family = "wasm"))]
            const _: Component = Component;

            impl $crate::bindings::on_schedule::exports::rapport::plugin::on_schedule::Guest for Component {
                fn handle(
                    event: $crate::bindings::rapport::plugin::trigger::Event,
                ) -> ::std::result::Result<(), $crate::bindings::rapport::plugin::types::Error> {
                    <$plugin as $crate::OnSchedule>::on_schedule(event.into()).map_err(::std::convert::Into::into)
                }
            }
            #[cfg(target_family = "wasm")]
    $crate::bindings::on_schedule::export_on_schedule!(Component with_types_in $crate::bindings::on_schedule);
        };
    };
    (on_action, $plugin:ty) => {
        // Natively nobody calls it, and it is not to be called unused.
        #[cfg(not(target_family = "wasm"))]
        #[doc(hidden)]
        pub fn rapport_native_on_action() {
            let _ = <$plugin as $crate::OnAction>::on_action;
        }

        const _: () = {
            struct Component;
            #[cfg(not(target_family = "wasm"))]
            const _: Component = Component;

            impl $crate::bindings::on_action::exports::rapport::plugin::on_action::Guest for Component {
                fn handle(
                    call: $crate::bindings::rapport::plugin::calls::Call,
                ) -> ::std::result::Result<::std::string::String, $crate::bindings::rapport::plugin::types::Error>
                {
                    let output = <$plugin as $crate::OnAction>::on_action(call.into());
                    output.map(|json| json.to_string()).map_err(::std::convert::Into::into)
                }
            }
            #[cfg(target_family = "wasm")]
    $crate::bindings::on_action::export_on_action!(Component with_types_in $crate::bindings::on_action);
        };
    };
    (on_request, $plugin:ty) => {
        // Natively nobody calls it, and it is not to be called unused.
        #[cfg(not(target_family = "wasm"))]
        #[doc(hidden)]
        pub fn rapport_native_on_request() {
            let _ = <$plugin as $crate::OnRequest>::on_request;
        }

        const _: () = {
            struct Component;
            #[cfg(not(target_family = "wasm"))]
            const _: Component = Component;

            impl $crate::bindings::on_request::exports::rapport::plugin::on_request::Guest for Component {
                fn handle(
                    request: $crate::bindings::rapport::plugin::calls::Request,
                ) -> ::std::result::Result<
                    $crate::bindings::rapport::plugin::calls::Response,
                    $crate::bindings::rapport::plugin::types::Error,
                > {
                    let answer = <$plugin as $crate::OnRequest>::on_request(request.into());
                    answer.map(::std::convert::Into::into).map_err(::std::convert::Into::into)
                }
            }
            #[cfg(target_family = "wasm")]
    $crate::bindings::on_request::export_on_request!(Component with_types_in $crate::bindings::on_request);
        };
    };
    (validate, $plugin:ty) => {
        // Natively nobody calls it, and it is not to be called unused.
        #[cfg(not(target_family = "wasm"))]
        #[doc(hidden)]
        pub fn rapport_native_validate() {
            let _ = <$plugin as $crate::Validator>::validate;
        }

        const _: () = {
            struct Component;
            #[cfg(not(target_family = "wasm"))]
            const _: Component = Component;

            impl $crate::bindings::validator::exports::rapport::plugin::validator::Guest for Component {
                fn validate(
                    change: $crate::bindings::rapport::plugin::calls::Change,
                ) -> ::std::result::Result<(), $crate::bindings::rapport::plugin::calls::Refusal> {
                    <$plugin as $crate::Validator>::validate(change.into()).map_err(::std::convert::Into::into)
                }
            }
            #[cfg(target_family = "wasm")]
    $crate::bindings::validator::export_validator!(Component with_types_in $crate::bindings::validator);
        };
    };
    (compensate, $plugin:ty) => {
        // Natively nobody calls it, and it is not to be called unused.
        #[cfg(not(target_family = "wasm"))]
        #[doc(hidden)]
        pub fn rapport_native_compensate() {
            let _ = <$plugin as $crate::Compensator>::compensate;
        }

        const _: () = {
            struct Component;
            #[cfg(not(target_family = "wasm"))]
            const _: Component = Component;

            impl $crate::bindings::compensator::exports::rapport::plugin::compensator::Guest for Component {
                fn compensate(
                    undone: $crate::bindings::rapport::plugin::calls::Undone,
                ) -> ::std::result::Result<(), $crate::bindings::rapport::plugin::types::Error> {
                    <$plugin as $crate::Compensator>::compensate(undone.into()).map_err(::std::convert::Into::into)
                }
            }
            #[cfg(target_family = "wasm")]
    $crate::bindings::compensator::export_compensator!(Component with_types_in $crate::bindings::compensator);
        };
    };
    (migrate, $plugin:ty) => {
        // Natively nobody calls it, and it is not to be called unused.
        #[cfg(not(target_family = "wasm"))]
        #[doc(hidden)]
        pub fn rapport_native_migrate() {
            let _ = <$plugin as $crate::Migrator>::migrate;
        }

        const _: () = {
            struct Component;
            #[cfg(not(target_family = "wasm"))]
            const _: Component = Component;

            impl $crate::bindings::migrator::exports::rapport::plugin::migrator::Guest for Component {
                fn migrate(
                    step: $crate::bindings::rapport::plugin::calls::Step,
                ) -> ::std::result::Result<
                    ::std::option::Option<::std::string::String>,
                    $crate::bindings::rapport::plugin::types::Error,
                > {
                    <$plugin as $crate::Migrator>::migrate(step.into()).map_err(::std::convert::Into::into)
                }
            }
            #[cfg(target_family = "wasm")]
    $crate::bindings::migrator::export_migrator!(Component with_types_in $crate::bindings::migrator);
        };
    };
}
