//! What every bench sends: paid orders of customers, and the rule by which points follow from them.

/// The script that the bench serves: the rule of the floors, as a user would write it.
pub(crate) const SCRIPT: &str = r#"//! Points for paid orders: the amount, doubled over 100.
on("order.paid");
uses("customer.points:write");
field("customer", "points", "integer", #{ default: 0 });

fn run(event) {
    let amount = floor(event.data.amount);
    increment(event.record, "points", if amount > 100 { 2 * amount } else { amount });
}
"#;

/// How many customers the orders are spread over.
pub(crate) const CUSTOMERS: u64 = 1_000;

/// A paid order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its place in the bench.
    pub(crate) number: u64,
    /// Whose it is, from 1.
    pub(crate) customer: u64,
    /// Whole money.
    pub(crate) amount: u64,
}

impl Order {
    /// The order of that number, spread over so many customers.
    pub(crate) const fn new(number: u64, customers: u64) -> Self {
        let amount = 1 + (number.wrapping_mul(2_654_435_761) >> 7) % 200;
        Self { number, customer: 1 + number.wrapping_mul(7_919) % customers, amount }
    }

    /// The points that it gives.
    pub(crate) const fn points(self) -> u64 {
        if self.amount > 100 { 2 * self.amount } else { self.amount }
    }

    /// As a `CloudEvents` event, on one line; `run` keeps the ids of different runs apart.
    pub(crate) fn event(self, run: &str) -> String {
        let Self { number, customer, amount } = self;
        format!(
            r#"{{"specversion":"1.0","id":"{run}-{number}","source":"bench","type":"order.paid","subject":"customer/customer_no:{customer}","data":{{"order_no":"{number}","amount":"{amount}.00","currency":"GBP"}}}}"#
        )
    }
}

/// A number that follows from `n` and looks as if it did not: one step of splitmix64 (Steele, Lea and Flood, 2014).
pub(crate) const fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// A shipped order as a `CloudEvents` event: what the runs that wait begin with.
pub(crate) fn shipped(number: u64, customer: u64, run: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{run}-shipped-{number}","source":"bench","type":"order.shipped","subject":"customer/customer_no:{customer}","data":{{"order_no":"{number}","carrier":"Posten","tracking_no":"{number}"}}}}"#
    )
}

/// The customers from `first` to `last`, one record a line.
pub(crate) fn customers(first: u64, last: u64) -> Vec<u8> {
    let lines = (first..=last).map(|c| format!("{{\"customer_no\":\"{c}\",\"country\":\"Norway\"}}\n"));
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_reach_every_customer_and_both_sides_of_the_rule() {
        let orders: Vec<Order> = (0..5_000).map(|n| Order::new(n, CUSTOMERS)).collect();
        let customers: std::collections::BTreeSet<u64> = orders.iter().map(|o| o.customer).collect();
        assert_eq!(
            (customers.len() as u64, customers.first(), customers.last()),
            (CUSTOMERS, Some(&1), Some(&CUSTOMERS))
        );
        assert!(orders.iter().any(|o| o.points() == o.amount) && orders.iter().any(|o| o.points() == 2 * o.amount));
    }

    #[test]
    fn an_order_is_one_line_of_json() {
        let event: serde_json::Value = serde_json::from_str(&Order::new(7, 10).event("r")).unwrap();
        assert_eq!((&event["id"], &event["type"]), (&"r-7".into(), &"order.paid".into()));
        assert_eq!(String::from_utf8(customers(1, 3)).unwrap().lines().count(), 3);
    }
}
