//! The same component in bare wasmtime, with the host functions that it calls and the event that it is given.

use std::hint::black_box;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

wasmtime::component::bindgen!({
    inline: "
        package rapport:bare;
        world bare {
            import rapport:plugin/records@0.1.0;
            import rapport:plugin/events@0.1.0;
            import rapport:plugin/settings@0.1.0;
            export rapport:plugin/on-event@0.1.0;
        }
    ",
    path: "../../sdk/wit/0.1",
});

use self::rapport::plugin::records::Page;
use self::rapport::plugin::trigger::Event;
use self::rapport::plugin::types::{Error, Field, RecordData, Value};

/// Does nothing, as fast as it can.
struct Idle;

type Answer<T> = Result<T, Error>;

fn none<T>() -> Answer<T> {
    Err(Error { code: "none".to_owned(), message: "none".to_owned(), retryable: false })
}

impl rapport::plugin::types::Host for Idle {}

impl rapport::plugin::records::Host for Idle {
    fn get(&mut self, _: String, _: String) -> Answer<Option<RecordData>> {
        Ok(None)
    }
    fn find(&mut self, _: String, _: String, _: Vec<Field>, _: Page) -> Answer<Vec<RecordData>> {
        Ok(Vec::new())
    }
    fn count(&mut self, _: String, _: String, _: Vec<Field>) -> Answer<u64> {
        Ok(0)
    }
    fn create(&mut self, _: String, _: Vec<Field>) -> Answer<RecordData> {
        none()
    }
    fn update(&mut self, _: String, _: String, fields: Vec<Field>) -> Answer<()> {
        black_box(fields);
        Ok(())
    }
    fn increment(&mut self, _: String, _: String, _: String, delta: Value) -> Answer<()> {
        black_box(delta);
        Ok(())
    }
    fn upsert(&mut self, _: String, _: String, _: Vec<Field>) -> Answer<RecordData> {
        none()
    }
    fn delete(&mut self, _: String, _: String) -> Answer<bool> {
        Ok(false)
    }
}

impl rapport::plugin::events::Host for Idle {
    fn emit(&mut self, _: String, _: String, data: Vec<Field>) -> Answer<()> {
        black_box(data);
        Ok(())
    }
}

impl rapport::plugin::settings::Host for Idle {
    fn get(&mut self, _: String) -> Answer<Value> {
        Ok(Value::Integer(100))
    }
}

impl rapport::plugin::trigger::Host for Idle {}

/// A component that is ready to be called.
pub(crate) struct Floor {
    engine: Engine,
    instance: BarePre<Idle>,
    /// The fields of the record that the event is about.
    fields: Vec<(String, rapport_model::Value)>,
}

impl Floor {
    pub(crate) fn new(component: &[u8], given: &rapport_sandbox::GuestEvent) -> Self {
        let mut config = Config::new();
        // Memories are kept as the sandbox keeps them: by default a fresh instance costs more than the whole call.
        let mut pool = PoolingAllocationConfig::new();
        if PoolingAllocationConfig::is_pagemap_scan_available() {
            pool.pagemap_scan(Enabled::Auto).linear_memory_keep_resident(2 << 20).table_keep_resident(64 << 10);
        }
        config.concurrency_support(false).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::new(&engine, component).expect("a component");
        let mut linker = Linker::<Idle>::new(&engine);
        Bare::add_to_linker::<_, HasSelf<_>>(&mut linker, |idle| idle).expect("the interfaces");
        // What its libraries ask of a system, and never call.
        linker.allow_shadowing(true);
        linker.define_unknown_imports_as_traps(&component).expect("the rest");
        let instance = BarePre::new(linker.instantiate_pre(&component).expect("an instance")).expect("the world");
        let record = given.record.as_ref().expect("a record");
        let fields = record.object.fields.iter().zip(&record.values);
        let fields = fields.map(|(field, value)| (field.name.to_string(), value.clone())).collect();
        Self { engine, instance, fields }
    }

    /// One call in an instance of its own.
    pub(crate) fn call(&self) {
        let mut store = Store::new(&self.engine, Idle);
        let bare = self.instance.instantiate(&mut store).expect("an instance");
        bare.rapport_plugin_on_event().call_handle(&mut store, &self.event()).expect("no trap").expect("no error");
    }

    /// The event that the sandbox's figure is taken with.
    fn event(&self) -> Event {
        let one = |n| vec![Field { name: "points".to_owned(), value: Value::Integer(n) }];
        let id = "00000000-0001-7303-8303-030303030303";
        let value = |value: &rapport_model::Value| match value {
            rapport_model::Value::Text(text) => Value::Text(text.to_string()),
            rapport_model::Value::Int(n) => Value::Integer(*n),
            _ => Value::Null,
        };
        let fields = self.fields.iter().map(|(name, held)| Field { name: name.clone(), value: value(held) }).collect();
        Event {
            position: 1,
            kind: "customer.updated".to_owned(),
            subject: format!("customer/{id}"),
            time: 0,
            recorded_at: 0,
            actor: "system".to_owned(),
            depth: 0,
            data: Vec::new(),
            before: one(1),
            after: one(2),
            delta: one(1),
            record: Some(RecordData {
                object: "customer".to_owned(),
                id: id.to_owned(),
                version: 1,
                created_at: 0,
                updated_at: 0,
                fields,
            }),
        }
    }
}
