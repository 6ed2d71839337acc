//! Greets new customers in their notes.

use rapport_sdk::{Error, Event, Fields, OnEvent, records, settings};

/// The plugin.
pub struct Hello;

impl OnEvent for Hello {
    fn on_event(event: Event) -> Result<(), Error> {
        let customer = event.subject_record()?;
        let name = customer.text("name")?.unwrap_or_else(|| "stranger".to_owned());
        let notes = format!("{}, {name}", settings::get::<String>("greeting")?);
        records::update(&customer.reference(), &Fields::new().with("notes", notes))
    }
}

rapport_sdk::export!(Hello: on_event);

#[cfg(test)]
mod tests {
    use rapport_sdk::{Fields, OnEvent as _, fake};

    use super::Hello;

    #[test]
    fn a_customer_is_greeted_by_name() {
        fake::reset();
        // The rights and settings of the manifest, no others.
        fake::load(include_str!("../plugin.toml"));
        let ada = fake::insert("customer", Fields::new().with("name", "Ada"));
        Hello::on_event(fake::event("customer.created", &ada, Fields::new())).unwrap();
        assert_eq!(fake::read(&ada).text("notes").unwrap().as_deref(), Some("Welcome, Ada"));
    }
}
