//! A child belongs to the row that the batch's own parent record will be, not to somebody else's row
//! that happens to have the value.

use crate::support::World;

const SCHEMA: &str = "
CREATE TABLE customers (id int PRIMARY KEY, customer_no text NOT NULL UNIQUE, name text);
CREATE TABLE orders (order_no text PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);
INSERT INTO customers VALUES (77, 'C-1', 'ours'), (1, 'C-9', 'somebody else');
";

/// What becomes of an order for the customer with the id 1, whom the batch brings as `customer`.
fn order(schema: &str, customers: &str, customer: &str) -> Vec<String> {
    let world = World::new(
        schema,
        &format!(
            "customers: {{natural_key: [customer_no]{customers}}}\norders: {{natural_key: [order_no]}}"
        ),
    );
    world.deliver("b", "customers/1.json", customer);
    world.deliver(
        "b",
        "orders/1.json",
        r#"{"order_no": "O", "customer_id": 1}"#,
    );
    let plan = world.plan("b");
    let lines = plan.lines().into_iter();
    lines.filter(|l| l.contains("orders")).collect()
}

const WRONG: [&str; 1] = ["! orders order_no=O: missing_parent customer_id block"];
const RIGHT: [&str; 1] = ["+ orders order_no=O: customer_id=\"1\""];
const OURS: &str = r#"{"id": 1, "customer_no": "C-1", "name": "new"}"#;

#[test]
fn an_order_of_a_customer_whose_row_has_another_number_is_a_violation() {
    for customers in [
        ", update_strategy: insert_only",
        ", conflict_resolution: skip",
        ", immutable_fields: [id], on_immutable: keep",
        ", immutable_fields: [id], on_immutable: reject",
    ] {
        assert_eq!(order(SCHEMA, customers, OURS), WRONG, "{customers}");
    }
    // What the database numbers is ignored, and said all the same.
    let generated = SCHEMA
        .replace(
            "id int PRIMARY KEY",
            "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        )
        .replace(
            "INTO customers VALUES",
            "INTO customers OVERRIDING SYSTEM VALUE VALUES",
        );
    assert_eq!(order(&generated, ", ignore_fields: [id]", OURS), WRONG);
    // A customer that is new gets a number from the database, and not this one.
    let new = r#"{"id": 1, "customer_no": "C-2"}"#;
    assert_eq!(order(&generated, ", ignore_fields: [id]", new), WRONG);
    // A record that is left out brings no row.
    let invalid = r#"{"id": 1, "customer_no": "C-2", "name": ["no text"]}"#;
    assert_eq!(order(SCHEMA, ", on_invalid: reject", invalid), WRONG);
}

#[test]
fn an_order_of_a_customer_whose_row_has_or_gets_the_number_is_right() {
    let free = SCHEMA.replace("(1, 'C-9', 'somebody else')", "(2, 'C-9', 'somebody else')");
    // The row gets the number.
    assert_eq!(order(&free, "", OURS), RIGHT);
    // It has it.
    let has = SCHEMA.replace(
        "(77, 'C-1', 'ours'), (1, 'C-9', 'somebody else')",
        "(1, 'C-1', 'ours')",
    );
    for customers in [
        "",
        ", update_strategy: insert_only",
        ", conflict_resolution: skip",
        ", immutable_fields: [id], on_immutable: keep",
    ] {
        assert_eq!(order(&has, customers, OURS), RIGHT, "{customers}");
    }
    // It is new.
    let empty = SCHEMA.replace(
        "INSERT INTO customers VALUES (77, 'C-1', 'ours'), (1, 'C-9', 'somebody else')",
        "SELECT 1",
    );
    assert_eq!(order(&empty, "", OURS), RIGHT);
    // The batch brings no customer with that number, and the database has one.
    assert_eq!(
        order(
            SCHEMA,
            ", update_strategy: insert_only",
            r#"{"customer_no": "C-1"}"#
        ),
        RIGHT
    );
    assert_eq!(
        order(
            SCHEMA,
            ", update_strategy: insert_only",
            r#"{"id": 77, "customer_no": "C-1"}"#
        ),
        RIGHT
    );
}

#[test]
fn the_message_says_which_row_it_is() {
    let world = World::new(
        SCHEMA,
        "customers: {natural_key: [customer_no], update_strategy: insert_only}\norders: {natural_key: [order_no]}",
    );
    world.deliver("b", "customers/1.json", OURS);
    world.deliver(
        "b",
        "orders/1.json",
        r#"{"order_no": "O", "customer_id": 1}"#,
    );
    let plan = world.plan("b");
    let message = &plan.entries()[1]["message"];
    assert_eq!(
        message,
        "the batch's own record of customers with this id (customer_no=C-1) is the row whose other value is 77, \
         so that this would refer to another row (orders_customer_id_fkey)"
    );
}

#[test]
fn rows_of_one_table_that_refer_to_each_other_are_looked_at_too() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, k text UNIQUE, boss int REFERENCES t); \
         INSERT INTO t VALUES (77, 'a', NULL), (1, 'other', NULL)",
        "t: {natural_key: [k], immutable_fields: [id], on_immutable: keep}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "k": "a"}, {"id": 5, "k": "b", "boss": 1}, {"id": 6, "k": "c", "boss": 5}]"#,
    );
    let plan = world.plan("b");
    let news = plan.news();
    assert!(
        news.contains(&"! t k=b: missing_parent boss block".to_owned()),
        "{news:?}"
    );
    assert!(news.iter().any(|l| l.starts_with("+ t k=c")), "{news:?}");
}

/// A row of a partition is a row of the whole, to which others refer.
#[test]
fn a_parent_or_child_may_be_in_a_partition_that_the_batch_names() {
    let world = World::new(
        "CREATE TABLE orders (region text, no int, note text, after int, PRIMARY KEY (region, no)) PARTITION BY LIST (region); \
         CREATE TABLE orders_eu PARTITION OF orders FOR VALUES IN ('eu'); \
         CREATE TABLE orders_us PARTITION OF orders FOR VALUES IN ('us'); \
         CREATE TABLE orders_else PARTITION OF orders DEFAULT; \
         ALTER TABLE orders_eu ADD FOREIGN KEY (region, after) REFERENCES orders; \
         CREATE TABLE items (region text, no int, item int, PRIMARY KEY (region, no, item), \
           FOREIGN KEY (region, no) REFERENCES orders) PARTITION BY LIST (region); \
         CREATE TABLE items_eu PARTITION OF items FOR VALUES IN ('eu'); \
         CREATE TABLE items_us PARTITION OF items FOR VALUES IN ('us'); \
         INSERT INTO orders VALUES ('eu', 1, 'there', NULL), ('us', 1, 'there', NULL), ('at', 1, NULL, NULL); \
         INSERT INTO items VALUES ('eu', 1, 1), ('us', 1, 1)",
        "orders_eu: {natural_key: [no]}\norders_us: {natural_key: [region, no]}\nitems: {natural_key: [region, no, item]}\n\
         items_eu: {natural_key: [no, item]}",
    );
    let state = || {
        let mut state = world.state();
        state.retain(|table, _| table.ends_with("orders") || table.ends_with("items"));
        state
    };
    let start = state();
    world.deliver(
        "b",
        "orders_eu.csv",
        "region,no,note,after\neu,2,new,3\neu,3,new,1\n",
    );
    world.deliver(
        "b",
        "orders_us.csv",
        "region,no,note\nus,2,new\nus,1,changed\n",
    );
    world.deliver(
        "b",
        "items.csv",
        "region,no,item\neu,2,1\nus,2,1\neu,1,2\nus,3,1\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines()
            .iter()
            .filter(|l| l.starts_with('!'))
            .collect::<Vec<_>>(),
        ["! items item=1 no=3 region=us: missing_parent block"]
    );
    world.deliver("b", "items.csv", "region,no,item\neu,2,1\nus,2,1\neu,1,2\n");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    let loaded = state();
    // What refers to a row that goes has to go, too, whichever table the batch names.
    let delete = |name: &str, records: &str| {
        let records = format!(r#"{{"op": "delete", "records": [{records}]}}"#);
        world.deliver("d", name, records);
    };
    delete("orders_eu/1.json", r#"{"no": 2}"#);
    delete("orders_us/1.json", r#"{"region": "us", "no": 1}"#);
    let plan = world.plan_with("d", &["--max-deletes", "9"]);
    assert_eq!(plan.count("violation"), 2, "{}", plan.text);
    delete("items_eu/1.json", r#"{"no": 2, "item": 1}"#);
    let plan = world.plan_with("d", &["--max-deletes", "9"]);
    assert_eq!(
        plan.lines()
            .iter()
            .filter(|l| l.starts_with('!'))
            .collect::<Vec<_>>(),
        ["! orders_us no=1 region=us: still_referred block"]
    );
    delete("orders_us/1.json", r#"{"region": "us", "no": 77}"#);
    let plan = world.plan_with("d", &["--max-deletes", "9"]);
    world.apply(&plan).ok();
    assert_ne!(state(), loaded);
    world
        .loader(&["rollback", "--batch-id", "d", "--force"])
        .ok();
    assert_eq!(state(), loaded);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(state(), start);
}
