//! Rows named by natural key: deliveries that know nothing of the numbers that the database gives.

use crate::support::{Plan, World};

/// Customers, products, orders and items; the database numbers all but the items.
const SHOP: &str = "\
    CREATE TYPE kind AS ENUM ('thing', 'service'); \
    CREATE TABLE customers (id serial PRIMARY KEY, customer_no text NOT NULL UNIQUE, name text); \
    CREATE TABLE products (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), sku text NOT NULL UNIQUE, kind kind NOT NULL DEFAULT 'thing'); \
    CREATE TABLE orders (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, order_no text NOT NULL UNIQUE, \
      customer_id int REFERENCES customers, note text DEFAULT 'new', CHECK (customer_id > 0)); \
    CREATE TABLE items (order_id bigint NOT NULL REFERENCES orders, line int NOT NULL, product_id uuid NOT NULL REFERENCES products, \
      quantity int NOT NULL DEFAULT 1, PRIMARY KEY (order_id, line)); \
    CREATE VIEW bought AS SELECT customer_no, order_no, line, sku FROM items JOIN orders ON orders.id = order_id \
      JOIN products ON products.id = product_id LEFT JOIN customers ON customers.id = customer_id; \
    INSERT INTO customers (customer_no, name) VALUES ('C-0', 'first'); INSERT INTO products (sku) VALUES ('S-0')";

const TABLES: &str = "\
customers: {natural_key: [customer_no]}
products: {natural_key: [sku]}
orders:
  natural_key: [order_no]
  references:
    customer_id: {table: customers, by: {customer_no: customer}}
items:
  natural_key: [order_id, line]
  references:
    order_id: {table: orders, by: {order_no: order}}
    product_id: {table: products, by: {sku: sku}}
";

fn shop() -> World {
    World::in_folder(SHOP, TABLES)
}

fn first_delivery(world: &World) {
    world.deliver(
        "b1",
        "customers.csv",
        "customer_no,name\nC-1,one\nC-2,two\n",
    );
    world.deliver("b1", "products.csv", "sku,kind\nS-1,thing\nS-2,service\n");
    world.deliver(
        "b1",
        "orders.csv",
        "order_no,customer\nO-1,C-1\nO-2,C-0\nO-3,\n",
    );
    world.deliver(
        "b1",
        "items.csv",
        "order,line,sku,quantity\nO-1,1,S-1,2\nO-1,2,S-0,1\nO-2,1,S-2,5\n",
    );
}

fn bought(world: &World) -> Vec<String> {
    world.rows("SELECT * FROM bought ORDER BY order_no, line")
}

fn tables(world: &World) -> Vec<String> {
    ["customers", "products", "orders", "items"]
        .iter()
        .flat_map(|t| world.rows(&format!("SELECT '{t}', x.* FROM {t} x ORDER BY x")))
        .collect()
}

fn rollback(world: &World, batch: &str) {
    world
        .loader(&["rollback", "--batch-id", batch, "--force"])
        .ok();
}

fn violations(plan: &Plan) -> Vec<String> {
    let entries = plan.entries();
    let found = entries.iter().filter(|e| e["action"] == "violation");
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    found
        .map(|e| {
            format!(
                "{} {}: {}",
                text(&e["kind"]),
                text(&e["field"]),
                text(&e["message"])
            )
        })
        .collect()
}

#[test]
fn a_shop_is_loaded_without_a_number_and_taken_back() {
    let world = shop();
    let before = tables(&world);
    first_delivery(&world);
    let plan = world.plan("b1");
    assert_eq!(
        plan.news(),
        [
            "+ customers customer_no=C-1: name=\"one\"",
            "+ customers customer_no=C-2: name=\"two\"",
            "+ orders order_no=O-1: customer_id=+<C-1>",
            "+ orders order_no=O-2: customer_id=<C-0>",
            "+ orders order_no=O-3: customer_id=null",
            "+ products sku=S-1: kind=\"thing\"",
            "+ products sku=S-2: kind=\"service\"",
            "+ items line=1 order_id=+<O-1>: product_id=+<S-1> quantity=\"2\"",
            "+ items line=2 order_id=+<O-1>: product_id=<S-0> quantity=\"1\"",
            "+ items line=1 order_id=+<O-2>: product_id=+<S-2> quantity=\"5\"",
        ]
    );
    assert_eq!(plan.text, world.plan("b1").text);
    world.apply(&plan).ok();
    assert_eq!(
        bought(&world),
        ["C-1|O-1|1|S-1", "C-1|O-1|2|S-0", "C-0|O-2|1|S-2"]
    );
    let again = world.plan("b1");
    assert_eq!(again.news(), [""; 0]);
    // The second delivery changes and adds, and names what the first brought.
    world.deliver("b2", "customers.csv", "customer_no,name\nC-3,three\n");
    world.deliver(
        "b2",
        "orders.csv",
        "order_no,customer,note\nO-1,C-2,moved\nO-2,C-3,moved\nO-4,C-1,x\n",
    );
    world.deliver(
        "b2",
        "items.csv",
        "order,line,sku,quantity\nO-1,1,S-1,3\nO-4,1,S-1,1\n",
    );
    let after_first = tables(&world);
    let plan = world.plan("b2");
    assert_eq!(
        plan.news(),
        [
            "+ customers customer_no=C-3: name=\"three\"",
            "~ orders order_no=O-1: customer_id=<C-1>→<C-2> note=\"new\"→\"moved\"",
            "~ orders order_no=O-2: customer_id=<C-0>→+<C-3> note=\"new\"→\"moved\"",
            "+ orders order_no=O-4: customer_id=<C-1> note=\"x\"",
            "~ items line=1 order_id=<O-1>: quantity=\"2\"→\"3\"",
            "+ items line=1 order_id=+<O-4>: product_id=<S-1> quantity=\"1\"",
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        bought(&world),
        [
            "C-2|O-1|1|S-1",
            "C-2|O-1|2|S-0",
            "C-3|O-2|1|S-2",
            "C-1|O-4|1|S-1"
        ]
    );
    assert_eq!(world.plan("b2").news(), [""; 0]);
    rollback(&world, "b2");
    assert_eq!(tables(&world), after_first);
    rollback(&world, "b1");
    assert_eq!(tables(&world), before);
}

#[test]
fn the_audit_log_has_the_numbers() {
    let world = shop();
    first_delivery(&world);
    world.apply(&world.plan("b1")).ok();
    assert_eq!(
        world.rows(
            "SELECT new_values ->> 'customer_id' FROM audit_log WHERE table_name = 'orders' ORDER BY record_id"
        ),
        ["2", "1", "∅"]
    );
    assert_eq!(
        world.value(
            "SELECT count(*)::text FROM audit_log a JOIN items i ON a.record_id = array_to_json(ARRAY[i.order_id::text, i.line::text])::text \
             WHERE a.table_name = 'items'"
        ),
        "3"
    );
}

#[test]
fn what_is_not_there_is_said_in_keys() {
    let world = shop();
    world.deliver("b", "orders.csv", "order_no,customer\nO-1,C-9\n");
    world.deliver(
        "b",
        "items.ndjson",
        "{\"order\": \"O-8\", \"line\": 1, \"sku\": \"S-0\"}\n{\"order\": \"O-1\", \"line\": 1, \"sku\": \"S-9\"}\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        violations(&plan),
        [
            "missing_parent customer_id: no row of customers has customer_no = C-9, neither in the database nor among the new rows of this plan",
            "missing_parent product_id: no row of products has sku = S-9, neither in the database nor among the new rows of this plan",
            "missing_parent order_id: no row of orders has order_no = O-8, neither in the database nor among the new rows of this plan",
        ]
    );
    // Left out, it takes along what names it.
    world.configure(
        &TABLES
            .replace("[order_no]\n", "[order_no]\n  on_invalid: reject\n")
            .replace(
                "[order_id, line]\n",
                "[order_id, line]\n  on_invalid: reject\n",
            ),
    );
    world.deliver(
        "b",
        "items.ndjson",
        "{\"order\": \"O-1\", \"line\": 1, \"sku\": \"S-0\"}\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "! orders order_no=O-1: missing_parent customer_id reject",
            "! items line=1 order_id=+<O-1>: missing_parent order_id reject",
        ]
    );
    assert!(
        violations(&plan)[1].contains("no row of orders has order_no = O-1, neither in the database nor among the records of this plan that can be loaded"),
        "{:?}",
        violations(&plan)
    );
}

#[test]
fn a_number_and_a_key_must_agree() {
    let world = shop();
    world.sql("INSERT INTO customers (customer_no) VALUES ('C-1')");
    world.deliver(
        "b",
        "orders.ndjson",
        "{\"order_no\": \"O-1\", \"customer\": \"C-1\", \"customer_id\": 2}\n\
         {\"order_no\": \"O-2\", \"customer\": \"C-1\", \"customer_id\": 1}\n\
         {\"order_no\": \"O-3\", \"customer_id\": 1}\n\
         {\"order_no\": \"O-4\", \"customer\": null, \"customer_id\": 1}\n\
         {\"order_no\": \"O-5\"}\n\
         {\"order_no\": \"O-6\", \"customer\": null}\n",
    );
    assert_eq!(
        world.plan("b").lines(),
        [
            "+ orders order_no=O-1: customer_id=<C-1>",
            "! orders order_no=O-2: invalid_value customer_id block",
            "+ orders order_no=O-3: customer_id=\"1\"",
            "+ orders order_no=O-4: customer_id=\"1\"",
            "+ orders order_no=O-5",
            "+ orders order_no=O-6: customer_id=null",
        ]
    );
}

#[test]
fn a_table_refers_to_itself() {
    let world = World::in_folder(
        "CREATE TABLE people (id serial PRIMARY KEY, nick text UNIQUE NOT NULL, boss int REFERENCES people); \
         INSERT INTO people (nick) VALUES ('old')",
        "people: {natural_key: [nick], references: {boss: {table: people, by: {nick: boss}}}}",
    );
    world.deliver(
        "b",
        "people.csv",
        "nick,boss\na,b\nb,c\nc,old\nd,d\nold,a\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "+ people nick=a: boss=+<b>",
            "+ people nick=b: boss=+<c>",
            "+ people nick=c: boss=<old>",
            "+ people nick=d: boss=+<d>",
            "~ people nick=old: boss=null→+<a>",
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT p.nick, b.nick FROM people p JOIN people b ON b.id = p.boss ORDER BY 1"),
        ["a|b", "b|c", "c|old", "d|d", "old|a"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
    rollback(&world, "b");
    assert_eq!(world.rows("SELECT nick, boss FROM people"), ["old|∅"]);
}

#[test]
fn a_parent_that_was_renamed_since_is_drift_by_its_key() {
    for (change, state) in [
        (
            "UPDATE customers SET customer_no = 'C-x' WHERE customer_no = 'C-0'",
            "vanished",
        ),
        (
            "UPDATE customers SET customer_no = 'C-x' WHERE customer_no = 'C-0'; INSERT INTO customers (customer_no) VALUES ('C-0')",
            "changed",
        ),
        ("DELETE FROM customers", "vanished"),
    ] {
        let world = shop();
        world.deliver("b", "orders.csv", "order_no,customer\nO-1,C-0\n");
        let plan = world.plan("b");
        world.sql(change);
        let run = world.writes_only_a_failure(|| world.apply(&plan));
        let run = run
            .exits(3)
            .says("customers")
            .says("customer_no=C-0")
            .says(state);
        assert!(!run.stderr.contains("id=1"), "{}", run.stderr);
    }
}

#[test]
fn references_nest() {
    let world = World::in_folder(
        "CREATE TABLE a (id serial PRIMARY KEY, k text UNIQUE); \
         CREATE TABLE b (id serial PRIMARY KEY, a_id int NOT NULL REFERENCES a, k text, UNIQUE (a_id, k)); \
         CREATE TABLE c (b_id int REFERENCES b, k text PRIMARY KEY); \
         INSERT INTO a (k) VALUES ('x'); INSERT INTO b (a_id, k) VALUES (1, 'old')",
        "\
a: {natural_key: [k]}
b: {natural_key: [a_id, k], references: {a_id: {table: a, by: {k: a}}}}
c:
  natural_key: [k]
  references:
    b_id: {table: b, by: {a_id: {table: a, by: {k: a}}, k: b}}
",
    );
    world.deliver("1", "a.csv", "k\ny\n");
    world.deliver("1", "b.csv", "a,k\nx,new\ny,new\n");
    world.deliver("1", "c.csv", "k,a,b\n1,x,old\n2,x,new\n3,y,new\n4,,\n");
    let plan = world.plan("1");
    assert_eq!(
        plan.news(),
        [
            "+ a k=y",
            "+ b a_id=<x> k=new",
            "+ b a_id=+<y> k=new",
            "+ c k=1: b_id=<<x> old>",
            "+ c k=2: b_id=+<<x> new>",
            "+ c k=3: b_id=+<+<y> new>",
            "+ c k=4: b_id=null",
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT c.k, a.k, b.k FROM c LEFT JOIN b ON b.id = b_id LEFT JOIN a ON a.id = a_id ORDER BY 1"),
        ["1|x|old", "2|x|new", "3|y|new", "4|∅|∅"]
    );
    assert_eq!(world.plan("1").news(), [""; 0]);
    rollback(&world, "1");
    assert_eq!(world.rows("SELECT k FROM b"), ["old"]);
    world.deliver("2", "c.csv", "k,a,b\n1,x,none\n2,z,old\n");
    assert_eq!(
        violations(&world.plan("2")),
        [
            "missing_parent b_id: no row of b has a_id (k), k = x, none, neither in the database nor among the new rows of this plan",
            "missing_parent b_id: no row of a has k = z, neither in the database nor among the new rows of this plan",
        ]
    );
}

#[test]
fn what_tables_yaml_cannot_mean_is_refused_with_its_place() {
    let world = shop();
    world.deliver("b", "orders.csv", "order_no,customer\nO-1,C-0\n");
    for (reference, place, message) in [
        (
            "{table: customer, by: {customer_no: c}}",
            "4:37: ",
            "customer is not in the database",
        ),
        (
            "{table: customers, by: {customer: c}}",
            "4:53: ",
            "customer is not a column of customers; did you mean customer_no?",
        ),
        ("{table: customers, by: {}}", "4:16: ", "by names no column"),
        (
            "{table: products, by: {sku: c}}",
            "4:37: ",
            "customer_id refers to customers (orders_customer_id_fkey), not to products",
        ),
        (
            "{table: customers, by: {customer_no: 1}}",
            "line 4 column",
            "expected the name of a field, or a reference",
        ),
        (
            "{table: customers, byy: {customer_no: c}}",
            "line 4 column",
            "did you mean `by`?",
        ),
        (
            "{table: customers, by: {customer_no: c, customer_no: d}}",
            "line 4 column",
            "stands twice",
        ),
    ] {
        world.configure(&format!(
            "customers: {{natural_key: [customer_no]}}\norders:\n  natural_key: [order_no]\n  references: {{customer_id: {reference}}}\n"
        ));
        let run = world.try_plan("b", &[]).exits(1);
        assert!(
            run.stderr.contains(place) && run.stderr.contains(message),
            "{reference}: {}",
            run.stderr
        );
    }
    for (column, message) in [
        ("customer", "customer is not a column of orders"),
        ("id", "takes no value from a record"),
    ] {
        world.configure(&format!(
            "orders: {{natural_key: [order_no], references: {{{column}: {{table: customers, by: {{customer_no: c}}}}}}}}\n"
        ));
        world.try_plan("b", &[]).exits(1).says(message);
    }
    world.sql(
        "CREATE TABLE tree (id serial PRIMARY KEY, up int REFERENCES tree, k text, UNIQUE (up, k))",
    );
    world
        .configure("tree: {natural_key: [up, k], references: {up: {table: tree, by: {k: above}}}}");
    world.deliver("t", "tree.csv", "k,above\na,b\n");
    world
        .try_plan("t", &[])
        .exits(1)
        .says("up refers to its own table and is in the natural key of tree");
}

#[test]
fn several_rows_with_a_key_are_ambiguous_and_a_live_one_counts_first() {
    let world = World::in_folder(
        "CREATE TABLE p (id serial PRIMARY KEY, k text NOT NULL, deleted_at timestamptz); \
         CREATE TABLE c (k text PRIMARY KEY, p int REFERENCES p); \
         INSERT INTO p (k, deleted_at) VALUES ('both', now()), ('both', NULL), ('dead', now()), ('two', NULL), ('two', NULL)",
        "p: {natural_key: [k], soft_delete: true}\nc: {natural_key: [k], references: {p: {table: p, by: {k: p}}}}",
    );
    world.deliver("b", "c.csv", "k,p\n1,both\n2,dead\n3,two\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "+ c k=1: p=<both>",
            "+ c k=2: p=<dead>",
            "! c k=3: ambiguous_key p block",
        ]
    );
    world.deliver("b", "c.csv", "k,p\n1,both\n2,dead\n");
    world.apply(&world.plan("b")).ok();
    assert_eq!(world.rows("SELECT k, p FROM c ORDER BY 1"), ["1|2", "2|3"]);
    world
        .loader(&["config", "check"])
        .exits(0)
        .says("p is looked up in p by k, which no unique key makes find one row at most");
}

#[test]
fn without_a_foreign_key_the_row_is_locked_and_the_grant_is_named() {
    let world = World::in_folder(
        "CREATE TABLE p (id serial PRIMARY KEY, k text NOT NULL UNIQUE); CREATE TABLE c (k text PRIMARY KEY, p int); \
         INSERT INTO p (k) VALUES ('x')",
        "p: {natural_key: [k]}\nc: {natural_key: [k], references: {p: {table: p, by: {k: p}}}}",
    );
    world.deliver("b", "p.csv", "k\ny\n");
    world.deliver("b", "c.csv", "k,p\n1,x\n2,y\n3,y\n");
    let plan = world.plan("b");
    assert_eq!(plan.tables(), ["p", "c"]);
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT c.k, p.k FROM c JOIN p ON p.id = p ORDER BY 1"),
        ["1|x", "2|y", "3|y"]
    );
    rollback(&world, "b");
    assert_eq!(world.rows("SELECT k FROM p"), ["x"]);
    world.deliver("two", "c.csv", "k,p\n1,x\n");
    let plan = world.plan("two");
    world.sql(
        "CREATE ROLE references_loose LOGIN PASSWORD 'x'; GRANT ALL ON ALL TABLES IN SCHEMA public TO references_loose; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO references_loose; \
         REVOKE ALL ON p FROM references_loose; GRANT SELECT ON p TO references_loose",
    );
    let as_role = world.url.replace("loader@", "references_loose@");
    let args = ["apply", plan.name(), "--approve", &plan.hash()];
    let run = world.loader_with(&args, &[("DATABASE_URL", &as_role)]);
    run.exits(1).says("GRANT UPDATE ON \"public\".\"p\"");
    let run = world.loader_with(
        &["config", "check", "--for", "apply"],
        &[("DATABASE_URL", &as_role)],
    );
    assert!(
        run.stdout
            .contains("GRANT INSERT, UPDATE, DELETE ON \"public\".\"p\""),
        "{run}"
    );
    world.sql("DROP OWNED BY references_loose; DROP ROLE references_loose");
}

/// A field by which is looked up may be a column that records give under another name; an envelope's fields are not lost.
#[test]
fn a_reference_by_a_column_that_is_given_under_another_name() {
    let world = World::new(
        "CREATE TABLE customers (tenant text, no text, id int GENERATED ALWAYS AS IDENTITY UNIQUE, PRIMARY KEY (tenant, no)); \
         INSERT INTO customers (tenant, no) VALUES ('A', '1'), ('A', '2'); \
         CREATE TABLE orders (tenant text, order_no text, customer_id int REFERENCES customers (id), PRIMARY KEY (tenant, order_no)); \
         INSERT INTO orders VALUES ('A', 'O1', 1), ('A', 'O9', 1)",
        "customers: {natural_key: [tenant, no]}\n\
         orders: {natural_key: [tenant, order_no], columns: {Mandant: tenant, Nr: order_no}, limits: {delete: 5}, \
           references: {customer_id: {table: customers, by: {tenant: tenant, no: Kunde}}}}",
    );
    world.deliver(
        "b",
        "orders/1.csv",
        "Mandant,Nr,Kunde\nA,O1,2\nA,O2,2\nA,O3,77\n",
    );
    world.deliver("b", "orders/2.csv", "tenant,Nr,Kunde\nA,O4,1\n");
    world.deliver("b", "orders/delete/3.csv", "Mandant,Nr\nA,O9\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "~ orders order_no=O1 tenant=A: customer_id=<1 A>→<2 A>",
            "+ orders order_no=O2 tenant=A: customer_id=<2 A>",
            "! orders order_no=O3 tenant=A: missing_parent customer_id block",
            "+ orders order_no=O4 tenant=A: customer_id=<1 A>",
            "- orders order_no=O9 tenant=A: customer_id=<1 A>",
        ]
    );
    // What stands beside the records of one object.
    let world = World::new(
        "CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, no text UNIQUE); INSERT INTO customers (no) VALUES ('C1'); \
         CREATE TABLE orders (no text PRIMARY KEY, customer_id int REFERENCES customers)",
        "customers: {natural_key: [no]}\norders: {natural_key: [no], references: {customer_id: {table: customers, by: {no: customer}}}}",
    );
    for held in [r#""records": [{"no": "1"}]"#, r#""data": {"no": "1"}"#] {
        world.deliver(
            "b",
            "orders/1.json",
            format!(r#"{{"customer": "C1", {held}}}"#),
        );
        let plan = world.plan("b");
        assert!(
            plan.count("violation") > 0 && plan.count("insert") == 0,
            "{:?}",
            plan.lines()
        );
    }
}

#[test]
fn a_batch_that_renames_a_row_cannot_refer_to_it_by_either_name() {
    let world = World::in_folder(
        "CREATE TABLE p (id serial PRIMARY KEY, mail text UNIQUE, k text UNIQUE); \
         CREATE TABLE c (k text PRIMARY KEY, p int REFERENCES p); INSERT INTO p (mail, k) VALUES ('m', 'old')",
        "p: {natural_key: [mail]}\nc: {natural_key: [k], references: {p: {table: p, by: {k: p}}}}",
    );
    world.deliver("b", "p.csv", "mail,k\nm,new\nn,other\n");
    world.deliver("b", "c.csv", "k,p\n1,old\n2,new\n3,other\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "~ p mail=m: k=\"old\"→\"new\"",
            "+ p mail=n: k=\"other\"",
            "! c k=1: missing_parent p block",
            "! c k=2: missing_parent p block",
            "+ c k=3: p=+<n>",
        ]
    );
    assert!(
        violations(&plan)[0].contains("this plan gives the row of p that has this k another one")
    );
}

/// A record that changes nothing names the row too, and so does one of a row to be deleted.
#[test]
fn what_is_named_by_a_key_that_changes_is_no_row_that_is_known() {
    let tables = "CREATE TABLE n (id serial PRIMARY KEY, name text UNIQUE DEFERRABLE, no text UNIQUE); \
         CREATE TABLE l (no text, link int REFERENCES n, v text, PRIMARY KEY (no), UNIQUE (link, no)); \
         INSERT INTO n (name, no) VALUES ('a', '1'), ('c', '3'); INSERT INTO l VALUES ('1', 1), ('3', 2)";
    let by = "references: {link: {table: n, by: {name: nm}}}";
    let n = "no,name\n1,b\n2,a\n";
    let world = World::in_folder(
        tables,
        &format!("n: {{natural_key: [no]}}\nl: {{natural_key: [no], {by}}}"),
    );
    world.deliver("b", "n.csv", n);
    world.deliver("b", "l.csv", "no,nm\n1,a\n3,c\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines()[2..],
        ["! l no=1: missing_parent link block", "= l no=3: unchanged"]
    );
    assert!(
        violations(&plan)[0]
            .contains("this plan gives the row of n that has this name another one")
    );
    // Deletes are of the row that is named, and not of the one that has been called so.
    let world = World::in_folder(
        tables,
        &format!(
            "n: {{natural_key: [no]}}\nl: {{natural_key: [link, no], {by}, limits: {{delete: 3}}}}"
        ),
    );
    world.deliver("b", "n.csv", n);
    world.deliver("b", "l/delete/1.csv", "no,nm\n1,a\n3,c\n");
    let lines = world.plan("b").lines();
    assert_eq!(
        lines[2..4]
            .iter()
            .filter(|l| l.contains("missing_parent"))
            .count(),
        1,
        "{lines:?}"
    );
    assert_eq!(
        lines.iter().filter(|l| l.starts_with("- l")).count(),
        1,
        "{lines:?}"
    );
    // What is stored of the reference may be what changes.
    let world = World::in_folder(
        "CREATE TABLE p (id serial PRIMARY KEY, no text UNIQUE, code text UNIQUE); \
         CREATE TABLE c (no text PRIMARY KEY, p text REFERENCES p (code)); INSERT INTO p (no, code) VALUES ('A', 'x')",
        "p: {natural_key: [no]}\nc: {natural_key: [no], references: {p: {table: p, by: {no: pno}}}}",
    );
    world.deliver("b", "p.csv", "no,code\nA,y\nB,x\n");
    world.deliver("b", "c.csv", "no,pno\nc,A\n");
    let plan = world.plan("b");
    assert_eq!(plan.lines()[2..], ["! c no=c: missing_parent p block"]);
    assert!(
        violations(&plan)[0].contains("that has this no another code"),
        "{:?}",
        violations(&plan)
    );
}

/// A live row counts before one that is marked as deleted, be it that the batch itself brings it.
/// Customers of whom a live one has each mail address, and orders that name them by it.
fn addresses(customers: &str) -> World {
    World::new(
        &format!(
            "CREATE TABLE cust (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, no text UNIQUE NOT NULL, mail text, \
               deleted_at timestamptz); \
             CREATE UNIQUE INDEX ON cust (mail) WHERE deleted_at IS NULL; \
             CREATE TABLE ords (no text PRIMARY KEY, cust int REFERENCES cust, v int); \
             INSERT INTO cust (no, mail, deleted_at) VALUES {customers}; INSERT INTO ords VALUES ('O1', 2, 1)"
        ),
        "cust: {natural_key: [no], soft_delete: true, limits: {delete: 9}}\n\
         ords: {natural_key: [no], references: {cust: {table: cust, by: {mail: mail}}}}",
    )
}

#[test]
fn a_key_that_goes_to_another_row_as_its_own_is_marked_names_neither() {
    let orders = "no,mail,v\nO1,x@,11\nO2,x@,7\n";
    // The other comes back; is updated; is new, and the record of the first gives the mark itself.
    for (customers, deleted, delivered) in [
        (
            "('1', 'x@', now()), ('4', 'x@', NULL)",
            true,
            "no,mail\n1,x@\n",
        ),
        (
            "('1', 'y@', NULL), ('4', 'x@', NULL)",
            true,
            "no,mail\n1,x@\n",
        ),
        (
            "('1', 'y@', NULL), ('4', 'x@', NULL)",
            false,
            "no,mail,deleted_at\n4,x@,2024-01-01T00:00:00Z\n5,x@,\n",
        ),
    ] {
        let world = addresses(customers);
        if deleted {
            world.deliver("b", "cust/delete/a.csv", "no\n4\n");
        }
        world.deliver("b", "cust.csv", delivered);
        world.deliver("b", "ords.csv", orders);
        let plan = world.plan("b");
        let found = violations(&plan);
        assert_eq!(found.len(), 2, "{delivered}: {found:?}");
        let says = "missing_parent cust: the row of cust that has this is marked as deleted by this plan or before, and the \
                    plan gives its mail to another row; deliver that in a batch before";
        assert!(found.iter().all(|f| f == says), "{found:?}");
        world.writes_nothing(|| world.apply(&plan).exits(4));
    }
    // A new one is followed where the first is deleted by its own record, and the first that lives where nothing changes.
    let world = addresses("('1', 'y@', NULL), ('4', 'x@', NULL)");
    world.deliver("b", "cust/delete/a.csv", "no\n4\n");
    world.deliver("b", "cust.csv", "no,mail\n5,x@\n1,y@\n");
    world.deliver("b", "ords.csv", orders);
    let plan = world.plan("b");
    assert_eq!(violations(&plan), [""; 0]);
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT o.no, c.no FROM ords o JOIN cust c ON c.id = o.cust ORDER BY 1"),
        ["O1|5", "O2|5"]
    );
}

#[test]
fn of_rows_that_are_new_together_a_live_one_is_named() {
    let world = addresses("('1', 'y@', NULL), ('2', 'z@', NULL)");
    world.deliver(
        "b",
        "cust.csv",
        "no,mail,deleted_at\n4,x@,2024-01-01T00:00:00Z\n5,x@,\n6,x@,2024-01-02T00:00:00Z\n",
    );
    world.deliver("b", "ords.csv", "no,mail,v\nO1,x@,11\nO2,x@,7\n");
    let plan = world.plan("b");
    assert_eq!(violations(&plan), [""; 0]);
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT o.no, c.no FROM ords o JOIN cust c ON c.id = o.cust ORDER BY 1"),
        ["O1|5", "O2|5"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn a_row_that_was_named_alive_and_is_marked_since_is_drift() {
    let world = addresses("('1', 'x@', NULL), ('2', 'y@', NULL), ('3', 'z@', now())");
    world.deliver("b", "ords.csv", "no,mail,v\nO1,x@,11\nO2,y@,7\n");
    world.deliver("c", "ords.csv", "no,mail,v\nO3,z@,7\n");
    let (plan, of_marked) = (world.plan("b"), world.plan("c"));
    for change in [
        "UPDATE cust SET deleted_at = now() WHERE no = '2'",
        "UPDATE cust SET deleted_at = now() WHERE no = '1'; INSERT INTO cust (no, mail) VALUES ('5', 'x@')",
    ] {
        world.sql(change);
        world.loader(&["check", plan.name()]).exits(3);
        world.writes_only_a_failure(|| world.apply(&plan).exits(3));
    }
    // Of a row that was marked when the plan was made, it says so.
    assert!(of_marked.text.contains("marked as deleted"));
    world.apply(&of_marked).ok();
}

#[test]
fn a_row_that_is_marked_as_deleted_is_named_only_where_none_is_live() {
    let world = World::in_folder(
        "CREATE TABLE p (no text PRIMARY KEY, code text, id serial UNIQUE, deleted_at timestamptz); \
         CREATE UNIQUE INDEX ON p (code) WHERE deleted_at IS NULL; \
         CREATE TABLE c (no text PRIMARY KEY, p int REFERENCES p (id)); \
         INSERT INTO p (no, code, deleted_at) VALUES ('a', 'X', now()), ('d', 'Y', now()), ('e', 'Y', now()), ('l', 'Y', NULL), ('z', 'Z', now())",
        "p: {natural_key: [no], soft_delete: true}\nc: {natural_key: [no], references: {p: {table: p, by: {code: pc}}}}",
    );
    world.deliver("b", "p.csv", "no,code\nb,X\n");
    world.deliver("b", "c.csv", "no,pc\nc,X\nd,Y\ne,Z\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "+ p no=b: code=\"X\"",
            "+ c no=c: p=+<b>",
            "+ c no=d: p=<Y>",
            "+ c no=e: p=<Z>"
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT c.no, p.no FROM c JOIN p ON p.id = c.p ORDER BY 1"),
        ["c|b", "d|l", "e|z"]
    );
    assert!(world.plan("b").news().is_empty());
}

#[test]
fn a_plan_that_names_a_row_which_it_does_not_insert_is_refused() {
    use table_loader::plan::{Value, What};
    let world = shop();
    first_delivery(&world);
    let plan = world.plan("b1");
    let rename = |key: &mut table_loader::plan::Values| {
        if let Some(name) = key.values_mut().next() {
            *name = Value::from("C-7");
        }
    };
    let forged = plan.forged(
        |_| (),
        |_| (),
        |entry| {
            if let What::Insert { values } = &mut entry.what
                && let Some(Value::New(row)) = values.get_mut("customer_id")
            {
                rename(&mut row.key);
            }
        },
    );
    world
        .writes_only_a_failure(|| world.apply(&forged))
        .exits(6)
        .says("refer to a row of customers that is to be new in it")
        .says("C-7");
    // Another row's number under the right name.
    world.sql("INSERT INTO customers (customer_no) VALUES ('C-8')");
    let forged = plan.forged(
        |_| (),
        |_| (),
        |entry| {
            if let What::Insert { values } = &mut entry.what
                && let Some(Value::Referred(row)) = values.get_mut("customer_id")
            {
                row.stored = "2".into();
            }
        },
    );
    world
        .writes_only_a_failure(|| world.apply(&forged))
        .exits(3)
        .says("customer_no=C-0");
    // A name where nothing is looked up.
    let forged = plan.forged(
        |_| (),
        |_| (),
        |entry| {
            if let What::Insert { values } = &mut entry.what
                && let Some(name) = values.get("customer_id").cloned()
            {
                values.insert("note".into(), name);
            }
        },
    );
    world
        .writes_only_a_failure(|| world.apply(&forged))
        .exits(6);
}

#[test]
fn who_refers_to_a_sensitive_key_tells_it_to_nobody() {
    let world = World::in_folder(
        SHOP,
        &TABLES.replace("[customer_no]}", "[customer_no], sensitive: [customer_no]}"),
    );
    world.deliver("b", "customers.csv", "customer_no\nC-secret\n");
    world.deliver(
        "b",
        "orders.csv",
        "order_no,customer\nO-1,C-secret\nO-2,C-0\nO-3,C-missing\n",
    );
    let plan = world.plan("b");
    for format in ["text", "markdown", "html", "json"] {
        let shown = world.show(&plan, &["--format", format]);
        for secret in ["C-secret", "C-0", "C-missing"] {
            assert!(!shown.contains(secret), "{format}: {secret}\n{shown}");
        }
    }
}

#[test]
fn pages_show_the_key_beside_the_number() {
    let world = shop();
    first_delivery(&world);
    let plan = world.plan("b1");
    for format in ["text", "markdown", "html"] {
        let shown = world.show(&plan, &["--format", format]);
        for said in ["customer_no=C-0", "customer_no=C-1 (new)"] {
            assert!(shown.contains(said), "{format}: {said}\n{shown}");
        }
    }
}

#[test]
fn duplicates_are_found_when_their_references_are_known() {
    let world = shop();
    world.deliver("b", "orders.csv", "order_no,customer\nO-1,C-0\n");
    world.deliver(
        "b",
        "items.csv",
        "order,line,sku,quantity\nO-1,1,S-0,1\nO-1,1,S-0,1\nO-1,2,S-0,1\nO-1,2,S-0,2\n",
    );
    assert_eq!(
        world.plan("b").lines(),
        [
            "+ orders order_no=O-1: customer_id=<C-0>",
            "+ items line=1 order_id=+<O-1>: product_id=<S-0> quantity=\"1\"",
            "= items line=1 order_id=+<O-1>: duplicate",
            "! items line=2 order_id=+<O-1>: duplicate_key block",
            "! items line=2 order_id=+<O-1>: duplicate_key block",
        ]
    );
}

#[test]
fn tables_that_refer_to_each_other_draw_their_numbers_first() {
    let world = World::in_folder(
        "CREATE TABLE a (id serial PRIMARY KEY, k text UNIQUE, b int); \
         CREATE TABLE b (id serial PRIMARY KEY, k text UNIQUE, a int NOT NULL REFERENCES a); \
         ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE; INSERT INTO a (k) VALUES ('old')",
        "a: {natural_key: [k], references: {b: {table: b, by: {k: b}}}}\n\
         b: {natural_key: [k], references: {a: {table: a, by: {k: a}}}}",
    );
    world.deliver("1", "a.csv", "k,b\nx,y\nold,z\n");
    world.deliver("1", "b.csv", "k,a\ny,x\nz,old\n");
    let plan = world.plan("1");
    assert_eq!(
        plan.lines(),
        [
            "~ a k=old: b=null→+<z>",
            "+ a k=x: b=+<y>",
            "+ b k=y: a=+<x>",
            "+ b k=z: a=<old>",
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows(
            "SELECT a.k, b.k, c.k FROM a JOIN b ON a.b = b.id JOIN a c ON c.id = b.a ORDER BY 1"
        ),
        ["old|z|old", "x|y|x"]
    );
    assert_eq!(world.plan("1").news(), [""; 0]);
    rollback(&world, "1");
    assert_eq!(world.rows("SELECT k, b FROM a"), ["old|∅"]);
}

#[test]
fn the_audit_log_is_shown_with_keys_beside_the_numbers() {
    let world = shop();
    first_delivery(&world);
    world.apply(&world.plan("b1")).ok();
    let order = world.value("SELECT id FROM orders WHERE order_no = 'O-1'");
    let shown = world.loader(&["audit", "--table", "items"]).ok().stdout;
    for said in [
        format!("INSERT items line=1, order_id={order} (orders order_no=O-1) by curator"),
        format!("order_id: {order} (orders order_no=O-1)"),
        "(products sku=S-1)".to_owned(),
    ] {
        assert!(shown.contains(&said), "{said}: {shown}");
    }
    let json = world
        .loader(&["audit", "--table", "orders", "--json"])
        .ok()
        .json();
    let changes = json["changes"].as_array().unwrap();
    let one = changes.iter().find(|c| c["key"] == "O-1").unwrap();
    assert_eq!(one["after"]["customer_id"], "2");
    assert_eq!(
        one["referred"]["customer_id"]["2"],
        "2 (customers customer_no=C-1)"
    );
    // What is gone has no name any more.
    rollback(&world, "b1");
    let shown = world.loader(&["audit", "--table", "items"]).ok().stdout;
    assert!(shown.contains(&format!("order_id: \"{order}\"")), "{shown}");
}

#[test]
fn a_refused_rollback_speaks_of_keys() {
    let world = shop();
    first_delivery(&world);
    world.apply(&world.plan("b1")).ok();
    world.sql("UPDATE items SET quantity = 9 WHERE line = 2");
    let run = world.loader(&["rollback", "--batch-id", "b1", "--force"]);
    run.exits(3).says("(orders order_no=O-1)").says("quantity");
    world.sql("UPDATE items SET quantity = 1 WHERE line = 2");
    world.sql(
        "CREATE TABLE notes (order_id bigint, line int, FOREIGN KEY (order_id, line) REFERENCES items); \
         INSERT INTO notes SELECT order_id, line FROM items WHERE line = 2",
    );
    world.configure(&format!(
        "{TABLES}notes:\n  natural_key: [order_id, line]\n  references: {{order_id: {{table: items, by: {{order_id: {{table: orders, by: {{order_no: order}}}}, line: line}}}}}}\n"
    ));
    world.deliver("b2", "orders.csv", "order_no,customer\nO-7,C-0\n");
    world.deliver(
        "b2",
        "items.csv",
        "order,line,sku,quantity\nO-2,7,S-0,1\nO-7,7,S-0,1\n",
    );
    world.deliver("b2", "notes.csv", "order,line\nO-1,1\nO-7,7\n");
    // The key of an item, of which a part is looked up itself.
    assert_eq!(
        world.plan("b2").news()[3..],
        [
            "+ notes line=1 order_id=<1 <O-1>>",
            "+ notes line=7 order_id=+<7 +<O-7>>"
        ]
    );
    world.apply(&world.plan("b2")).ok();
    assert_eq!(world.plan("b2").news(), [""; 0]);
    world.sql("INSERT INTO notes SELECT order_id, line FROM items WHERE line = 7");
    let roll_back = |more: &[&str]| {
        let args = ["rollback", "--batch-id", "b2", "--force"];
        world.loader(&[&args, more].concat()).exits(4)
    };
    // Both by their keys.
    let told = roll_back(&[]).stderr;
    assert!(
        told.contains(" refers to items line=7, order_id=2 (orders order_no=O-2), which would"),
        "{told}"
    );
    let row = &roll_back(&["--json"]).json()["rows"][0];
    assert_eq!(row["table"], "notes", "{row}");
    assert_eq!(row["key"]["line"], "7", "{row}");
    assert_eq!(row["parent_key"]["line"], "7", "{row}");
    // A table that was never loaded: by its primary key.
    world.sql(
        "DELETE FROM notes WHERE order_id = 2;
         CREATE TABLE marks (no text PRIMARY KEY, order_id int, line int,
           FOREIGN KEY (order_id, line) REFERENCES items (order_id, line));
         INSERT INTO marks VALUES ('M-1', 2, 7)",
    );
    let told = roll_back(&["--report", "text"]).stdout;
    assert!(told.contains("no=M-1 refers to line=7"), "{told}");
    let told = roll_back(&["--report", "markdown"]).stdout;
    assert!(told.contains("| `marks` | `M-1` | `items` |"), "{told}");
}

#[test]
fn a_parent_renamed_while_the_plan_is_applied_is_drift() {
    let world = shop();
    world.deliver("b", "orders.csv", "order_no,customer\nO-1,C-0\n");
    let plan = world.plan("b");
    let mut other = world.connect();
    let mut renaming = other.transaction().unwrap();
    renaming
        .batch_execute("UPDATE customers SET customer_no = 'C-x' WHERE customer_no = 'C-0'")
        .unwrap();
    let applying = world.spawn(&["apply", plan.name(), "--approve", &plan.hash()]);
    // It was looked up; what is inserted waits for the row to which it refers.
    world.wait_for("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'");
    renaming.commit().unwrap();
    applying.finish().exits(3).says("customer_no=C-0");
    assert_eq!(world.value("SELECT count(*) FROM orders"), "0");
}

#[test]
fn numbers_of_an_identity_are_drawn_only_with_the_right_to() {
    let world = World::in_folder(
        "CREATE TABLE p (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, k text UNIQUE); \
         CREATE TABLE c (k text PRIMARY KEY, p int REFERENCES p)",
        "p: {natural_key: [k]}\nc: {natural_key: [k], references: {p: {table: p, by: {k: p}}}}",
    );
    world.deliver("b", "p.csv", "k\nx\n");
    world.deliver("b", "c.csv", "k,p\n1,x\n");
    let plan = world.plan("b");
    let role = "references_identity";
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT USAGE ON SEQUENCE audit_log_id_seq, batch_load_log_id_seq TO {role}"
    ));
    let url = world.url.replace("loader@", &format!("{role}@"));
    let args = ["apply", plan.name(), "--approve", &plan.hash()];
    let as_role = [("DATABASE_URL", url.as_str())];
    world
        .loader_with(&args, &as_role)
        .exits(1)
        .says("needs the privilege USAGE on the sequence");
    let missing = world.loader_with(&["config", "check", "--for", "apply"], &as_role);
    let grant = format!("GRANT USAGE ON SEQUENCE \"public\".\"p_id_seq\" TO \"{role}\"");
    assert!(missing.stdout.contains(&grant), "{missing}");
    world.sql(&grant);
    world.loader_with(&args, &as_role).exits(0);
    assert_eq!(
        world.rows("SELECT c.k, p.k FROM c JOIN p ON p.id = p"),
        ["1|x"]
    );
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn an_encrypted_plan_names_rows_only_to_who_has_a_key() {
    let world = World::in_folder(
        SHOP,
        &TABLES.replace("[customer_no]}", "[customer_no], sensitive: [customer_no]}"),
    );
    world.deliver("b", "customers.csv", "customer_no\nC-secret\n");
    world.deliver(
        "b",
        "orders.csv",
        "order_no,customer\nO-1,C-secret\nO-2,C-0\n",
    );
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let key = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    world.write("key.txt", key);
    let plan = world.plan_with("b", &["--recipient", &recipient]);
    assert!(!plan.text.contains("C-secret") && !plan.text.contains("C-0"));
    let shown = world.show(&plan, &[]);
    assert!(
        shown.contains("(new)") && !shown.contains("C-secret"),
        "{shown}"
    );
    world
        .apply_with(&plan, &["--approve", &plan.hash(), "--identity", "key.txt"])
        .ok();
    assert_eq!(
        world.rows("SELECT order_no, customer_no FROM orders JOIN customers c ON c.id = customer_id ORDER BY 1"),
        ["O-1|C-secret", "O-2|C-0"]
    );
    // What is said of a renamed parent neither says which.
    world.deliver("b2", "orders.csv", "order_no,customer\nO-3,C-0\n");
    let plan = world.plan("b2");
    world.sql("UPDATE customers SET customer_no = 'C-other' WHERE customer_no = 'C-0'");
    let run = world.apply(&plan).exits(3).says("customers");
    assert!(!run.stderr.contains("C-0"), "{run}");
}

#[test]
fn what_a_row_refers_to_until_then_is_named_and_must_be_so() {
    let world = shop();
    world.sql(
        "INSERT INTO customers (customer_no) VALUES ('C-1'); INSERT INTO orders (order_no, customer_id) VALUES ('O-1', 1), ('O-2', 1)",
    );
    world.deliver("b", "orders.csv", "order_no,customer\nO-1,C-1\nO-2,C-0\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.news(),
        ["~ orders order_no=O-1: customer_id=<C-0>→<C-1>"]
    );
    let shown = world.show(&plan, &[]);
    assert!(
        shown.contains("\"1 (customers customer_no=C-0)\" →"),
        "{shown}"
    );
    // Who reviewed this saw another customer.
    world.sql("UPDATE customers SET customer_no = 'C-x' WHERE id = 1");
    world
        .writes_only_a_failure(|| world.apply(&plan))
        .exits(3)
        .says("customer_no=C-0");
    world.sql("UPDATE customers SET customer_no = 'C-0' WHERE id = 1");
    world.apply(&plan).ok();
    world.configure(&TABLES.replace(
        "[order_no]\n",
        "[order_no]\n  immutable_fields: [customer_id]\n",
    ));
    let violation = &world
        .loader(&["plan", "--batch-id", "b", "--queue", "off"])
        .ok()
        .json();
    assert_eq!(violation["header"]["summary"]["violation"], 0);
    world.deliver("c", "orders.csv", "order_no,customer\nO-1,C-0\n");
    let entry = &world.plan("c").entries()[0];
    assert_eq!(entry["existing"], "2 (customers customer_no=C-1)");
    assert_eq!(entry["given"], "1 (customers customer_no=C-0)");
}

#[test]
fn rows_that_go_are_named_by_key_too() {
    let world = shop();
    first_delivery(&world);
    world.apply(&world.plan("b1")).ok();
    world.deliver("b2", "items/delete/1.csv", "order,line\nO-1,2\n");
    let plan = world.plan_with("b2", &["--max-deletes", "items=1"]);
    assert_eq!(plan.count("delete"), 1, "{}", plan.lines().join("\n"));
    assert!(
        plan.lines()[0].starts_with("- items line=2 order_id=<O-1>"),
        "{:?}",
        plan.lines()
    );
    world.apply(&plan).ok();
    assert_eq!(bought(&world), ["C-1|O-1|1|S-1", "C-0|O-2|1|S-2"]);
    rollback(&world, "b2");
    assert_eq!(bought(&world).len(), 3);
    // All there is of a table: what it does not bring goes, found by the keys of others.
    world.configure(&TABLES.replace("[order_id, line]\n", "[order_id, line]\n  complete: true\n"));
    world.deliver(
        "b3",
        "items.csv",
        "order,line,sku,quantity\nO-1,1,S-1,2\nO-1,2,S-0,1\n",
    );
    let plan = world.plan_with("b3", &["--max-deletes", "items=1"]);
    assert_eq!(
        (plan.count("delete"), plan.count("violation")),
        (1, 0),
        "{}",
        plan.lines().join("\n")
    );
    // What nobody delivers is named as what is delivered.
    let gone = plan.entries().into_iter().find(|e| e["action"] == "delete");
    let gone = gone.unwrap();
    assert_eq!(gone["key"]["order_id"]["key"]["order_no"], "O-2");
    assert_eq!(gone["values"]["product_id"]["key"]["sku"], "S-2");
    for view in [&[][..], &["--format", "csv"], &["--format", "markdown"]] {
        let shown = world.show(&plan, view);
        for name in ["(orders order_no=O-2)", "(products sku=S-2)"] {
            assert!(shown.contains(name), "{view:?}: {name}: {shown}");
        }
    }
    // Who reviewed this saw another order go.
    for (table, column, key) in [("orders", "order_no", "O-2"), ("products", "sku", "S-2")] {
        let rename = |from: &str, to: &str| {
            world.sql(&format!(
                "UPDATE {table} SET {column} = '{to}' WHERE {column} = '{from}'"
            ));
        };
        rename(key, "other");
        world
            .writes_only_a_failure(|| world.apply(&plan))
            .exits(3)
            .says(key);
        rename("other", key);
    }
    world.apply(&plan).ok();
    assert_eq!(bought(&world), ["C-1|O-1|1|S-1", "C-1|O-1|2|S-0"]);
    rollback(&world, "b3");
    assert_eq!(bought(&world).len(), 3);
}

#[test]
fn keys_of_any_kind_of_text_and_without_a_unique_index_are_looked_up() {
    let world = World::new(
        "CREATE EXTENSION citext; CREATE TABLE p (id serial PRIMARY KEY, no citext UNIQUE, name text); \
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, q int REFERENCES p); \
         INSERT INTO p (no, name) VALUES ('Ab', 'one'), ('Cd', 'two'), ('Ef', 'two')",
        "c: {natural_key: [id], references: {p: {table: p, by: {no: no}}, q: {table: p, by: {name: name}}}}\n\
         p: {natural_key: [no]}",
    );
    world.deliver(
        "b",
        "c/1.json",
        r#"[{"id": 1, "no": "aB", "name": "one"}, {"id": 2, "no": "CD"}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT * FROM c ORDER BY id"),
        ["1|1|1", "2|2|∅"]
    );
    world.deliver("b", "c/1.json", r#"[{"id": 3, "name": "two"}]"#);
    let plan = world.plan("b");
    assert!(plan.text.contains("ambiguous_key"), "{}", plan.text);
}

#[test]
fn a_unique_key_that_finds_several_rows_repeats_no_record() {
    let world = World::new(
        "CREATE TABLE p (id serial PRIMARY KEY, no text UNIQUE); CREATE TABLE heir () INHERITS (p); \
         CREATE TABLE c (id int PRIMARY KEY, p int); \
         INSERT INTO p (no) VALUES ('A'), ('B'); INSERT INTO heir (no) VALUES ('A')",
        "c: {natural_key: [id], references: {p: {table: p, by: {no: no}}}}\np: {natural_key: [no]}",
    );
    world.deliver("b", "c/1.csv", "id,no\n1,B\n2,A\n3,B\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "+ c id=1: p=<B>",
            "! c id=2: ambiguous_key p block",
            "+ c id=3: p=<B>",
        ]
    );
}

/// What stands for a number that is not drawn yet is no number that a record gives.
#[test]
fn a_number_that_nobody_has_is_no_new_row() {
    let world = World::new(
        "CREATE TABLE p (id serial PRIMARY KEY, k text UNIQUE); INSERT INTO p (k) VALUES ('x'); \
         CREATE TABLE c (k text PRIMARY KEY, p bigint REFERENCES p, q int REFERENCES p)",
        "p: {natural_key: [k]}\nc: {natural_key: [k], references: {q: {table: p, by: {k: qk}}}}",
    );
    world.deliver("b", "p/1.json", r#"[{"k": "n"}, {"k": "m"}]"#);
    for number in [-1, -2, -3] {
        world.deliver(
            "b",
            "c/1.json",
            format!(r#"[{{"k": "1", "p": {number}}}, {{"k": "2", "qk": "n"}}, {{"k": "3", "qk": "m", "p": 1}}]"#),
        );
        let plan = world.plan("b");
        let lines = plan.lines();
        let found: Vec<&String> = lines.iter().filter(|l| l.starts_with('!')).collect();
        assert_eq!(found.len(), 1, "{lines:?}");
        assert!(
            found[0].contains("k=1") && found[0].contains("missing_parent"),
            "{found:?}"
        );
    }
}

#[test]
fn a_word_that_means_null_is_shown_where_it_names_no_row() {
    let world = World::in_folder(
        "CREATE TABLE countries (id serial PRIMARY KEY, code text UNIQUE); INSERT INTO countries (code) VALUES ('NA'), ('DE'); \
         CREATE TABLE o (no text PRIMARY KEY, c_id int REFERENCES countries, x text); INSERT INTO o VALUES ('9', 2, 'q')",
        "defaults: {null_words: [NA], conflict_resolution: replace}\ncountries: {natural_key: [code]}\n\
         o: {natural_key: [no], references: {c_id: {table: countries, by: {code: country}}}}",
    );
    world.deliver(
        "b",
        "o.json",
        r#"[{"no": "1", "country": "NA", "x": "NA"}, {"no": "9", "country": "NA"}, {"no": "8", "country": null}]"#,
    );
    let plan = world.plan("b");
    let shown = world.show(&plan, &[]);
    assert_eq!(shown.matches("given as \"NA\"").count(), 3, "{shown}");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT * FROM o ORDER BY 1"),
        ["1|∅|∅", "8|∅|∅", "9|∅|q"]
    );
}

#[test]
fn a_key_of_several_columns_is_looked_up_by_all_of_them() {
    let tables = |by: &str| {
        format!(
            "c: {{natural_key: [site, no]}}\no: {{natural_key: [ono], references: {{c_id: {{table: c, by: {{{by}}}}}}}}}"
        )
    };
    let world = World::in_folder(
        "CREATE TABLE c (site text, id int, no text, PRIMARY KEY (site, id), UNIQUE (site, no)); \
         CREATE TABLE o (ono text PRIMARY KEY, site text, c_id int, FOREIGN KEY (site, c_id) REFERENCES c (site, id)); \
         INSERT INTO c VALUES ('L', 1, 'A'), ('M', 1, 'B')",
        &tables("no: customer"),
    );
    world.deliver(
        "b",
        "o.json",
        r#"{"ono": "1", "site": "M", "customer": "A"}"#,
    );
    world
        .try_plan("b", &[])
        .exits(1)
        .says("c_id refers to c together with others (site, c_id: o_site_c_id_fkey)")
        .says("by: {site: site, …}");
    world.configure(&tables("site: site, no: customer"));
    assert!(world.plan("b").news()[0].contains("missing_parent"));
    world.deliver(
        "c",
        "o.json",
        r#"{"ono": "1", "site": "M", "customer": "B"}"#,
    );
    world.apply(&world.plan("c")).ok();
    assert_eq!(world.rows("SELECT * FROM o"), ["1|M|1"]);
}

/// What no foreign key holds is held by the loader: `c` refers to `p` by `references` alone.
fn loose() -> World {
    World::in_folder(
        "CREATE TABLE p (id serial PRIMARY KEY, k text NOT NULL UNIQUE); CREATE TABLE c (k text PRIMARY KEY, p int); \
         INSERT INTO p (k) VALUES ('x')",
        "p: {natural_key: [k]}\nc: {natural_key: [k], references: {p: {table: p, by: {k: p}}}}",
    )
}

fn joined(world: &World) -> Vec<String> {
    world.rows("SELECT c.k, p.k FROM c LEFT JOIN p ON p.id = p ORDER BY 1")
}

#[test]
fn a_row_to_which_rows_of_later_loads_refer_is_not_rolled_back_alone() {
    let world = loose();
    world.deliver("b1", "p.csv", "k\ny\n");
    world.apply(&world.plan("b1")).ok();
    let args = ["rollback", "--batch-id", "b1", "--out", "before.json"];
    world.loader(&args).ok();
    world.deliver("b2", "c.csv", "k,p\n1,x\n2,y\n");
    world.apply(&world.plan("b2")).ok();

    let alone = ["rollback", "--batch-id", "b1", "--force"];
    let run = world.loader(&alone).exits(4);
    run.says("c k=2 refers to p k=y");
    // A plan that was made before these rows came: as `check` says.
    let came = "1 row of c refers to rows that this plan deletes, since it was made (references)";
    for args in [
        &["check", "before.json"][..],
        &["apply", "before.json", "--force"],
    ] {
        world.loader(args).exits(3).says(came);
    }
    assert_eq!(joined(&world), ["1|x", "2|y"]);

    let kept = ["rollback", "--batch-id", "b1", "--keep-edited", "--force"];
    world.loader(&kept).exits(4).says("nothing can be undone");
    world
        .loader(&[&alone[..], &["--with-dependents"]].concat())
        .ok();
    assert_eq!(joined(&world), ["1|x"]);
    assert_eq!(world.rows("SELECT k FROM p"), ["x"]);
}

#[test]
fn a_row_to_which_rows_of_others_refer_is_deleted_by_no_load() {
    let world = loose();
    world.deliver("b1", "p.csv", "k\ny\nz\n");
    world.deliver("b1", "c.csv", "k,p\n1,x\n2,y\n");
    world.apply(&world.plan("b1")).ok();
    world.deliver("b2", "p/delete/1.csv", "k\ny\nz\n");
    let plan = world.plan_with("b2", &["--max-deletes", "5"]);
    assert_eq!(
        plan.lines(),
        ["! p k=y: still_referred block", "- p k=z: id=\"3\""],
        "{}",
        plan.text
    );

    // Rows that come to refer to it while its plan is reviewed.
    world.deliver("b3", "p/delete/1.csv", "k\nz\n");
    let plan = world.plan_with("b3", &["--max-deletes", "5"]);
    world.deliver("b4", "c.csv", "k,p\n3,z\n");
    world.apply(&world.plan("b4")).ok();
    let run = world.apply(&plan).exits(3);
    run.says("rows of c refer to rows of p that would go: z");
    // In one batch, both go.
    world.deliver("b5", "p/delete/1.csv", "k\nz\n");
    world.deliver("b5", "c/delete/1.csv", "k\n3\n");
    world
        .apply(&world.plan_with("b5", &["--max-deletes", "5"]))
        .ok();
    assert_eq!(joined(&world), ["1|x", "2|y"]);
    // And what refers to another row since, does not keep it.
    world.deliver("b6", "c.csv", "k,p\n2,x\n");
    world.deliver("b6", "p/delete/1.csv", "k\ny\n");
    world
        .apply(&world.plan_with("b6", &["--max-deletes", "5"]))
        .ok();
    assert_eq!(joined(&world), ["1|x", "2|x"]);
    assert_eq!(world.rows("SELECT k FROM p"), ["x"]);
}

#[test]
fn a_rollback_puts_back_no_row_that_refers_to_nothing() {
    let world = World::in_folder(
        "CREATE TABLE p (id serial PRIMARY KEY, k text NOT NULL UNIQUE); \
         CREATE TABLE c (k text PRIMARY KEY, p int, v text); INSERT INTO p (k) VALUES ('x')",
        "p: {natural_key: [k], limits: {delete: 9}}\n\
         c: {natural_key: [k], limits: {delete: 9}, references: {p: {table: p, by: {k: p}}}}",
    );
    let load = |batch: &str, file: &str, content: &str| {
        world.deliver(batch, file, content);
        world.apply(&world.plan(batch)).ok();
    };
    load("b1", "p.csv", "k\ny\nz\n");
    load("b2", "c.csv", "k,p,v\n1,y,a\n2,z,a\n3,x,a\n");
    load("b3", "c/delete/1.csv", "k\n1\n");
    load("b4", "c.csv", "k,p,v\n2,x,a\n3,,b\n");
    world
        .loader(&["rollback", "--batch-id", "b3", "--out", "undo.json"])
        .ok();
    load("b5", "p/delete/1.csv", "k\ny\nz\n");
    let refused = |batch: &str, key: &str| {
        let run = world.loader(&["rollback", "--batch-id", batch, "--force"]);
        run.exits(4).says(&format!(
            "they refer to rows of p that are gone since (references): {key};"
        ));
    };
    world
        .loader(&["apply", "undo.json", "--force"])
        .exits(4)
        .says("rows of c would refer to rows of p that are not there: 1 (references");
    refused("b3", "1");
    refused("b4", "2");
    assert_eq!(joined(&world), ["2|x", "3|x"]);
    // What refers to nothing already, is not made so.
    world.sql("INSERT INTO c VALUES ('lost', 99, 'a')");
    load("b6", "c.csv", "k,v\nlost,b\n");
    rollback(&world, "b6");
    rollback(&world, "b5");
    rollback(&world, "b4");
    rollback(&world, "b3");
    assert_eq!(joined(&world), ["1|y", "2|z", "3|x", "lost|∅"]);
}

/// A marked row with the key of one that is put back may have referred to nothing for long.
#[test]
fn what_a_marked_row_refers_to_keeps_no_live_one_with_its_key_from_being_put_back() {
    let world = World::in_folder(
        "CREATE TABLE p (id serial PRIMARY KEY, k text NOT NULL UNIQUE); \
         CREATE TABLE c (id serial PRIMARY KEY, k text NOT NULL, p int, gone date); \
         CREATE UNIQUE INDEX ON c (k) WHERE gone IS NULL; INSERT INTO p (k) VALUES ('x'), ('y'); \
         INSERT INTO c (k, p, gone) VALUES ('1', 99, '2024-01-01'), ('1', 1, NULL)",
        "p: {natural_key: [k]}\n\
         c: {natural_key: [k], soft_delete: gone, references: {p: {table: p, by: {k: p}}}}",
    );
    let all = || world.rows("SELECT id, p, gone IS NULL FROM c ORDER BY 1");
    let before = all();
    world.deliver("b", "c.csv", "k,p\n1,y\n");
    world.apply(&world.plan("b")).ok();
    assert_eq!(all(), ["1|99|f", "2|2|t"]);
    rollback(&world, "b");
    assert_eq!(all(), before);
}

#[test]
fn what_refers_may_have_got_another_type() {
    let world = loose();
    world.deliver("b1", "p.csv", "k\ny\nz\n");
    world.deliver("b1", "c.csv", "k,p\n1,x\n2,y\n");
    world.apply(&world.plan("b1")).ok();
    world.configure("p: {natural_key: [k]}");
    world.deliver("b2", "p/delete/1.csv", "k\ny\nz\n");
    // As a number, which may print otherwise; and what has no equality with a number, as text.
    for ty in ["numeric(9,2)", "bigint", "text", "varchar(20)"] {
        world.sql(&format!(
            "ALTER TABLE c ALTER p TYPE {ty} USING p::numeric::int"
        ));
        let plan = world.plan_with("b2", &["--max-deletes", "5"]);
        assert_eq!(
            plan.lines(),
            ["! p k=y: still_referred block", "- p k=z: id=\"3\""],
            "{ty}"
        );
    }
}

#[test]
fn to_a_row_that_has_no_value_there_nothing_refers() {
    let world = World::in_folder(
        "CREATE TABLE c (no text PRIMARY KEY, code text UNIQUE, badge text UNIQUE DEFAULT 'badge ' || gen_random_uuid()); \
         INSERT INTO c VALUES ('old', NULL, NULL), ('has', 'H', 'B'); \
         CREATE TABLE o (no text PRIMARY KEY, code text REFERENCES c (code), badge text REFERENCES c (badge)); \
         CREATE TABLE p (no text PRIMARY KEY, code text REFERENCES o (no))",
        "c: {natural_key: [no]}\n\
         o: {natural_key: [no], on_invalid: reject, references: {code: {table: c, by: {no: c}}, badge: {table: c, by: {no: d}}}}",
    );
    world.deliver(
        "b",
        "c.json",
        r#"[{"no": "new"}, {"no": "given", "code": "G"}]"#,
    );
    world.deliver(
        "b",
        "o.csv",
        "no,c,d\n1,old,\n2,has,has\n3,new,\n4,given,new\n5,,given\n6,none,\n7,,old\n",
    );
    let plan = world.plan("b");
    let lines = plan.lines().into_iter();
    let violations: Vec<String> = lines.filter(|l| l.starts_with('!')).collect();
    assert_eq!(
        violations,
        [
            "! o no=1: missing_parent code reject",
            "! o no=3: missing_parent code reject",
            "! o no=6: missing_parent code reject",
            "! o no=7: missing_parent badge reject",
        ]
    );
    let text = world.show(&plan, &["--action", "violation"]);
    assert!(
        text.contains("no row of c with a value in code has no = …"),
        "{text}"
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT o.no, c.no, d.no FROM o LEFT JOIN c USING (code) LEFT JOIN c d ON d.badge = o.badge ORDER BY 1"),
        ["2|has|has", "4|given|new", "5|∅|given"]
    );
}

#[test]
fn a_key_that_cannot_be_read_is_answered_with_what_it_consists_of() {
    let world = shop();
    first_delivery(&world);
    world.apply(&world.plan("b1")).ok();
    let undo = |key: &str| {
        let of = [
            "--batch-id",
            "b1",
            "--table",
            "items",
            "--key",
            key,
            "--force",
        ];
        world.loader(&[&["rollback"][..], &of].concat())
    };
    let refused = undo(r#"["O-1", 1]"#).exits(1);
    let says =
        "not a whole number; order_id is the id of a row of orders, as `loader audit` shows it";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    let order = &world.rows("SELECT id FROM orders WHERE order_no = 'O-1'")[0];
    undo(&format!(r#"["{order}", 1]"#)).ok();
}

#[test]
fn a_row_that_has_null_in_the_key_is_meant_by_its_number() {
    let world = World::in_folder(
        "CREATE TABLE p (id int PRIMARY KEY, a text, b text, up int REFERENCES p, UNIQUE (a, b)); \
         INSERT INTO p VALUES (1, 'x', NULL, NULL), (2, 'x', 'y', 1); \
         CREATE TABLE c (k text PRIMARY KEY, pid int REFERENCES p); INSERT INTO c VALUES ('c1', 1), ('c2', 1), ('c3', 2); \
         CREATE TABLE n (k text PRIMARY KEY, cid text REFERENCES c)",
        "p: {natural_key: [a, b], references: {up: {table: p, by: {a: ua, b: ub}}}}\n\
         c: {natural_key: [k], limits: {delete: 9}, references: {pid: {table: p, by: {a: pa, b: pb}}}}",
    );
    let start = world.rows("SELECT * FROM c ORDER BY 1");
    world.deliver(
        "b",
        "p.json",
        r#"[{"a": "x", "b": "y", "ua": "x", "ub": "y"}]"#,
    );
    world.deliver("b", "c.json", r#"[{"k": "c1", "pa": "x", "pb": "y"}]"#);
    world.deliver("b", "c/delete/1.json", r#"[{"k": "c2"}]"#);
    let plan = world.plan("b");
    let lines = plan.lines();
    assert!(lines[0].starts_with("~ p a=x b=y: up=\"1\"→"), "{lines:?}");
    world.check(&plan).ok();
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT * FROM c ORDER BY 1"), ["c1|2", "c3|2"]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT * FROM c ORDER BY 1"), start);
}

/// A record speaks of what is looked up where it gives a field that is of nothing else.
#[test]
fn a_field_of_several_references_speaks_of_none_that_has_others() {
    let world = World::new(
        "CREATE TABLE te (id serial PRIMARY KEY, code text UNIQUE NOT NULL); \
         CREATE TABLE cu (id serial PRIMARY KEY, te_id int NOT NULL REFERENCES te, no text NOT NULL, name text, boss_id int, \
           UNIQUE (te_id, no), UNIQUE (te_id, id), FOREIGN KEY (te_id, boss_id) REFERENCES cu (te_id, id)); \
         CREATE TABLE st (id serial PRIMARY KEY, site text, no text, UNIQUE (site, no)); \
         CREATE TABLE vi (id text PRIMARY KEY, site text, st_id int REFERENCES st); \
         INSERT INTO te (code) VALUES ('T'); INSERT INTO cu (te_id, no, name) VALUES (1, '1', 'one'), (1, '2', 'two'); \
         UPDATE cu SET boss_id = 1 WHERE no = '2'; \
         INSERT INTO st (site, no) VALUES ('L', '1'); INSERT INTO vi VALUES ('v', 'L', 1)",
        "te: {natural_key: [code]}\nst: {natural_key: [site, no]}",
    );
    let tenant = "{table: te, by: {code: tenant}}";
    let of = |more: &str| {
        format!(
            "te: {{natural_key: [code]}}\nst: {{natural_key: [site, no]}}\n\
             cu:\n  natural_key: [te_id, no]\n  {more}\n  references:\n    te_id: {tenant}\n    \
             boss_id: {{table: cu, by: {{te_id: {tenant}, no: boss}}}}\n\
             vi:\n  natural_key: [id]\n  {more}\n  references: {{st_id: {{table: st, by: {{site: site, no: station}}}}}}\n"
        )
    };
    let cu = |text: &str| world.deliver("b", "cu.csv", text);
    let vi = |text: &str| world.deliver("b", "vi.csv", text);
    let news = || world.plan_with("b", &["--max-deletes", "10"]).news();
    for more in ["conflict_resolution: replace", "complete: true"] {
        world.configure(&of(more));
        // Not named; named as null, in either part; named.
        cu("tenant,no,name\nT,1,one\nT,2,TWO\n");
        vi("id,site\nv,L\n");
        assert_eq!(
            news(),
            ["~ cu no=2 te_id=<T>: name=\"two\"→\"TWO\""],
            "{more}"
        );
        cu("tenant,no,name,boss\nT,1,one,\nT,2,two,\n");
        vi("id,site,station\nv,L,\n");
        assert_eq!(
            news(),
            [
                "~ cu no=2 te_id=<T>: boss_id=<1 <T>>→null",
                "~ vi id=v: st_id=<1 L>→null"
            ],
            "{more}"
        );
        cu("tenant,no,name,boss\nT,1,one,\nT,2,two,1\n");
        vi("id,site,station\nv,L,1\n");
        assert_eq!(news(), [""; 0], "{more}");
    }
    // Where nothing is its own, each of its fields is.
    world.configure(&of("conflict_resolution: replace").replace("no: station", "no: id"));
    vi("id,site\nv,L\n");
    let told = news();
    assert_eq!(told, ["! vi id=v: missing_parent st_id block"]);
}

/// Rules about numbers are asked of rows that refer to new ones, too, as far as they do not hang on which number is greater.
#[test]
fn rules_hold_for_references_to_new_rows_as_for_others() {
    let world = World::new(
        "CREATE TABLE place (id smallserial PRIMARY KEY, code text UNIQUE NOT NULL);
         CREATE TABLE move (no text PRIMARY KEY, f int REFERENCES place, t int REFERENCES place, CONSTRAINT moves CHECK (f <> t));
         CREATE TABLE pair (no text PRIMARY KEY, f int REFERENCES place, t int REFERENCES place, CONSTRAINT ordered CHECK (f < t));
         CREATE TABLE doc (no text PRIMARY KEY, p int REFERENCES place, m text REFERENCES move, CONSTRAINT arc CHECK (num_nonnulls(p, m) = 1));
         CREATE TABLE tag (no text PRIMARY KEY, p int REFERENCES place, slug text GENERATED ALWAYS AS ('P' || p) STORED UNIQUE,
           h numeric GENERATED ALWAYS AS (ln(p)) STORED, CHECK (p > 0));
         CREATE UNIQUE INDEX ON tag (no) WHERE p > 0;
         INSERT INTO place (code) VALUES ('OLD'); INSERT INTO move (no) VALUES ('m0')",
        "place: {natural_key: [code]}
move: {natural_key: [no], on_invalid: reject, references: {f: {table: place, by: {code: f}}, t: {table: place, by: {code: t}}}}
pair: {natural_key: [no], on_invalid: reject, references: {f: {table: place, by: {code: f}}, t: {table: place, by: {code: t}}}}
doc: {natural_key: [no], on_invalid: reject, references: {p: {table: place, by: {code: p}}}}
tag: {natural_key: [no], on_invalid: reject, references: {p: {table: place, by: {code: p}}}}",
    );
    world.deliver(
        "b",
        "place/1.json",
        r#"[{"code": "N1"}, {"code": "N2"}, {"code": "A"}]"#,
    );
    world.deliver("b", "move/1.json", r#"[{"no": "ok", "f": "OLD", "t": "N1"}, {"no": "two", "f": "N1", "t": "N2"}, {"no": "same", "f": "N1", "t": "N1"}]"#);
    world.deliver("b", "pair/1.json", r#"[{"no": "ok", "f": "OLD", "t": "N1"}, {"no": "never", "f": "N1", "t": "OLD"}, {"no": "same", "f": "N2", "t": "N2"}]"#);
    world.deliver("b", "doc/1.json", r#"[{"no": "ok", "p": "N1"}, {"no": "both", "p": "N1", "m": "m0"}, {"no": "none", "p": null}]"#);
    world.deliver("b", "tag/1.json", r#"[{"no": "ok", "p": "N1"}, {"no": "other", "p": "N2"}, {"no": "x", "p": "A"}, {"no": "y", "p": "A"}]"#);
    let plan = world.plan("b");
    let mut left_out: Vec<String> = (plan.entries().iter())
        .filter(|e| e["action"] == "violation")
        .map(|e| format!("{} {} {}", e["table"], e["key"]["no"], e["kind"]))
        .collect();
    left_out.sort();
    assert_eq!(
        left_out,
        [
            r#""doc" "both" "check_failed""#,
            r#""doc" "none" "check_failed""#,
            r#""move" "same" "check_failed""#,
            r#""pair" "never" "check_failed""#,
            r#""pair" "same" "check_failed""#,
            r#""tag" "x" "unique_conflict""#,
            r#""tag" "y" "unique_conflict""#,
        ]
    );
    // Nobody is told a number that no row will have.
    let shown = world.show(&plan, &[]);
    assert!(
        shown.contains("f=code=N1") || shown.contains("f=\"code=N1\"") || shown.contains("code=N1"),
        "{shown}"
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT no FROM move ORDER BY 1"),
        ["m0", "ok", "two"]
    );
    assert_eq!(world.rows("SELECT no FROM pair"), ["ok"]);
    assert_eq!(world.rows("SELECT no FROM doc"), ["ok"]);
    assert_eq!(
        world.rows("SELECT no, slug = 'P' || p, h IS NOT NULL FROM tag ORDER BY 1"),
        ["ok|t|t", "other|t|t"]
    );
    // Numbers that are nearly at their end.
    world.sql("INSERT INTO place (id, code) VALUES (32766, 'LAST')");
    world.deliver("c", "place/1.json", r#"[{"code": "N3"}, {"code": "N4"}]"#);
    world.deliver(
        "c",
        "move/1.json",
        r#"[{"no": "late", "f": "N3", "t": "N4"}]"#,
    );
    let plan = world.plan("c");
    assert_eq!(plan.count("violation"), 0);
    world.apply(&plan).ok();
}

/// A column that does not keep what it refers to says so of each record, and never refers to another row.
#[test]
fn columns_narrower_than_those_to_which_they_refer_are_not_cut() {
    let world = World::in_folder(
        "CREATE TABLE prod (code varchar(10) PRIMARY KEY, name text NOT NULL UNIQUE); \
         INSERT INTO prod VALUES ('ABCDE', 'five'), ('ABCDEF', 'six'), ('AB', 'two'); \
         CREATE TABLE line (k text PRIMARY KEY, prod varchar(5) REFERENCES prod, q int); INSERT INTO line VALUES ('old', 'ABCDE', 1); \
         CREATE TABLE loose (k text PRIMARY KEY, prod char(5)); \
         CREATE TABLE ext (prod varchar(5) PRIMARY KEY REFERENCES prod, note text); INSERT INTO ext VALUES ('ABCDE', 'note'); \
         CREATE TABLE b (id bigint PRIMARY KEY, name text UNIQUE); INSERT INTO b VALUES (3000000000, 'large'), (5, 'small'); \
         CREATE TABLE kid (k text PRIMARY KEY, b int REFERENCES b, tiny smallint REFERENCES b); \
         CREATE TABLE ora (id numeric(12,0) PRIMARY KEY, name text UNIQUE); INSERT INTO ora VALUES (8, 'eight'), (12345678901, 'long'); \
         CREATE TABLE post (k text PRIMARY KEY, o int REFERENCES ora, s numeric(3,0) REFERENCES ora)",
        "defaults: {on_invalid: reject, limits: {delete: 5}}\n\
         prod: {natural_key: [code]}\n\
         line: {natural_key: [k], references: {prod: {table: prod, by: {name: pname}}}}\n\
         loose: {natural_key: [k], references: {prod: {table: prod, by: {name: pname}}}}\n\
         ext: {natural_key: [prod], references: {prod: {table: prod, by: {name: pname}}}}\n\
         b: {natural_key: [name]}\n\
         kid: {natural_key: [k], references: {b: {table: b, by: {name: bname}}, tiny: {table: b, by: {name: tname}}}}\n\
         ora: {natural_key: [name]}\n\
         post: {natural_key: [k], references: {o: {table: ora, by: {name: oname}}, s: {table: ora, by: {name: sname}}}}",
    );
    world.set("LOADER_QUEUE", "off");
    let before = world.rows("SELECT * FROM line");
    world.put("b", "prod/1.csv", "code,name\nABCDEG,new\nAC,short\n");
    world.put(
        "b",
        "line/1.csv",
        "k,pname,q\n1,new,5\n2,six,5\n3,two,5\n4,short,5\nold,six,1\n",
    );
    world.put("b", "loose/1.csv", "k,pname\n1,new\n2,six\n3,two\n");
    world.put("b", "ext/delete/1.csv", "pname\nsix\n");
    world.put(
        "b",
        "kid/1.csv",
        "k,bname,tname\n1,large,\n2,small,small\n3,small,large\n",
    );
    world.put(
        "b",
        "post/1.csv",
        "k,oname,sname\n1,eight,eight\n2,long,\n3,,long\n",
    );
    let plan = world.plan("b");
    let lines = plan.lines();
    let refused: Vec<&String> = lines.iter().filter(|l| l.starts_with('!')).collect();
    assert_eq!(refused.len(), 10, "{lines:#?}");
    for of in [
        "line k=1",
        "line k=2",
        "line k=old",
        "loose k=1",
        "loose k=2",
        "kid k=1",
        "kid k=3",
        "post k=2",
        "post k=3",
    ] {
        assert!(
            refused
                .iter()
                .any(|l| l.starts_with(&format!("! {of}: invalid_value"))),
            "{of}: {lines:#?}"
        );
    }
    assert!(
        plan.text.contains("of type character varying(5), which does not keep the code of the row of prod that has this name"),
        "{}",
        plan.text
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT k, prod FROM line UNION ALL SELECT 'loose ' || k, prod FROM loose UNION ALL SELECT 'ext', prod FROM ext ORDER BY 1"),
        ["3|AB", "4|AC", "ext|ABCDE", "loose 3|AB", "old|ABCDE"]
    );
    assert_eq!(world.rows("SELECT * FROM kid"), ["2|5|5"]);
    assert_eq!(world.rows("SELECT * FROM post"), ["1|8|8"]);
    assert_eq!(world.rows("SELECT * FROM line WHERE k = 'old'"), before);
    assert_eq!(world.plan("b").count("insert"), 0);

    // Types of which it is not known what they keep of each other.
    world.sql("CREATE TABLE odd (k text PRIMARY KEY, id uuid)");
    world.configure("prod: {natural_key: [code]}\nodd: {natural_key: [k], references: {id: {table: prod, by: {name: pname}}}}");
    world.put("odd", "odd/1.csv", "k,pname\n1,two\n");
    world
        .loader(&["plan", "--batch-id", "odd"])
        .exits(1)
        .says("references: id is of type uuid, and prod.code, to which it refers, of type character varying(10); give both the same type");
}

/// A number that several tenants have names the row of the one that is meant.
/// The tenant in a foreign key of several columns is looked up where the other table's own column refers to it.
#[test]
fn a_column_of_a_foreign_key_of_several_may_be_looked_up_where_its_parent_refers_on() {
    let world = World::in_folder(
        "CREATE TABLE site (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, code text UNIQUE NOT NULL); \
         CREATE TABLE smp (site_id int REFERENCES site, id int GENERATED BY DEFAULT AS IDENTITY, no text NOT NULL, \
           PRIMARY KEY (site_id, id), UNIQUE (site_id, no)); \
         CREATE TABLE aliq (site_id int, smp_id int, n int, PRIMARY KEY (site_id, smp_id, n), \
           FOREIGN KEY (site_id, smp_id) REFERENCES smp); \
         INSERT INTO site (id, code) VALUES (7, 'LY')",
        "site: {natural_key: [code]}\n\
         smp: {natural_key: [site_id, \"no\"], references: {site_id: {table: site, by: {code: site}}}}\n\
         aliq: {natural_key: [site_id, smp_id, n], references: {site_id: {table: site, by: {code: site}}, \
           smp_id: {table: smp, by: {site_id: {table: site, by: {code: site}}, \"no\": sample}}}}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "site.csv", "code\nPR\n");
    world.put("b", "smp.csv", "site,no\nLY,1\nPR,1\n");
    world.put(
        "b",
        "aliq.csv",
        "site,sample,n\nLY,1,1\nPR,1,1\nPR,1,2\nXX,1,1\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines().iter().filter(|l| l.starts_with('!')).count(),
        2
    );
    world.put("b", "aliq.csv", "site,sample,n\nLY,1,1\nPR,1,1\nPR,1,2\n");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows(
            "SELECT s.code, m.no, a.n FROM aliq a JOIN smp m ON (m.site_id, m.id) = (a.site_id, a.smp_id) \
             JOIN site s ON s.id = m.site_id ORDER BY 1, 3"
        ),
        ["LY|1|1", "PR|1|1", "PR|1|2"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
    rollback(&world, "b");
    assert_eq!(world.rows("SELECT code FROM site"), ["LY"]);
}

/// The tenant of a row that is there is known, also where it is looked up by way of a customer who is new.
#[test]
fn a_row_that_is_there_has_its_key_though_a_new_row_is_named_by_it() {
    let world = World::in_folder(
        "CREATE TABLE tenants (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL UNIQUE); \
         CREATE TABLE customers (tenant_id int REFERENCES tenants, no text, PRIMARY KEY (tenant_id, no)); \
         CREATE TABLE orders (tenant_id int, customer text, order_no text, amount int, PRIMARY KEY (tenant_id, order_no), \
           FOREIGN KEY (tenant_id, customer) REFERENCES customers); \
         INSERT INTO tenants (code) VALUES ('A'); INSERT INTO customers VALUES (1, '1'); \
         INSERT INTO orders VALUES (1, '1', 'O1', 10)",
        "tenants: {natural_key: [code]}\n\
         customers: {natural_key: [tenant_id, \"no\"], references: {tenant_id: {table: tenants, by: {code: tenant}}}}\n\
         orders: {natural_key: [tenant_id, order_no], references: {tenant_id: {table: customers, \
           by: {tenant_id: {table: tenants, by: {code: tenant}}, \"no\": customer}}}}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "customers.csv", "tenant,no\nA,2\n");
    world.put(
        "b",
        "orders.csv",
        "tenant,customer,order_no,amount\nA,2,O1,12\nA,2,O2,5\n",
    );
    world.apply(&world.plan("b")).ok();
    assert_eq!(
        world.rows("SELECT * FROM orders ORDER BY order_no"),
        ["1|2|O1|12", "1|2|O2|5"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
    // Of a tenant who is new, nothing is known before.
    world.put("c", "tenants.csv", "code\nB\n");
    world.put("c", "customers.csv", "tenant,no\nB,1\n");
    world.put(
        "c",
        "orders.csv",
        "tenant,customer,order_no,amount\nB,1,O1,1\n",
    );
    world.apply(&world.plan("c")).ok();
    assert_eq!(
        world.rows("SELECT * FROM orders WHERE tenant_id > 1"),
        ["2|1|O1|1"]
    );
    rollback(&world, "c");
    rollback(&world, "b");
    assert_eq!(world.rows("SELECT * FROM orders"), ["1|1|O1|10"]);
}

#[test]
fn rows_of_foreign_keys_of_several_columns_are_named_by_all_of_them() {
    let world = World::in_folder(
        "CREATE TABLE cust (tenant int, id int, no text NOT NULL, PRIMARY KEY (tenant, id), UNIQUE (tenant, no)); \
         INSERT INTO cust VALUES (1, 1, 'ALICE'), (2, 1, 'XAVER'), (2, 2, 'YVES'); \
         CREATE TABLE ord (tenant int, ono text, cust_id int NOT NULL, PRIMARY KEY (tenant, ono), FOREIGN KEY (tenant, cust_id) REFERENCES cust); \
         INSERT INTO ord VALUES (2, 'o1', 1), (2, 'o2', 1); \
         CREATE TABLE memb (tenant int, cust_id int, grp text, slot int UNIQUE, PRIMARY KEY (tenant, cust_id, grp), \
           FOREIGN KEY (tenant, cust_id) REFERENCES cust); \
         INSERT INTO memb VALUES (2, 1, 'g', 1), (2, 2, 'g', 2)",
        "cust: {natural_key: [tenant, \"no\"]}\n\
         ord: {natural_key: [tenant, ono], references: {cust_id: {table: cust, by: {tenant: tenant, \"no\": cust}}}}\n\
         memb: {natural_key: [tenant, cust_id, grp], complete: {where: {tenant: 2}}, limits: {delete: 5}, \
           references: {cust_id: {table: cust, by: {tenant: tenant, \"no\": cust}}}}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "ord/1.csv", "tenant,ono,cust\n2,o1,YVES\n");
    world.put("b", "memb/1.csv", "tenant,cust,grp,slot\n2,YVES,g,2\n");
    let plan = world.plan("b");
    assert!(!plan.text.contains("ALICE"), "{}", plan.text);
    assert_eq!(plan.text.matches("XAVER").count(), 2, "{}", plan.text);
    // Who has nothing to do with it may be renamed; who has, may not.
    world.sql("UPDATE cust SET no = 'ALICIA' WHERE tenant = 1");
    world
        .loader(&["check", plan.path.to_str().unwrap()])
        .exits(0);
    world.sql("UPDATE cust SET no = 'XXX' WHERE tenant = 2 AND id = 1");
    world
        .loader(&["apply", plan.path.to_str().unwrap(), "--force"])
        .exits(3);
    world.sql("UPDATE cust SET no = 'XAVER' WHERE tenant = 2 AND id = 1");
    world.apply(&plan).ok();

    world.put(
        "c",
        "memb/1.csv",
        "tenant,cust,grp,slot\n2,YVES,g,2\n2,XAVER,h,2\n",
    );
    let plan = world.plan("c");
    assert!(!plan.text.contains("ALICIA"), "{}", plan.text);
    world
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .exits(0);
    let undo = std::fs::read_to_string(world.path("undo.json")).unwrap();
    assert!(!undo.contains("ALICIA"), "{undo}");
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .exits(0);
    assert_eq!(
        world.rows("SELECT * FROM memb ORDER BY 2"),
        ["2|1|g|1", "2|2|g|2"]
    );
}

/// What a new row's default will be is known as what its record gives is.
#[test]
fn new_rows_are_found_by_their_defaults() {
    let world = World::in_folder(
        "CREATE TABLE cust (id serial PRIMARY KEY, ext text NOT NULL UNIQUE, country text NOT NULL DEFAULT 'DE', code text NOT NULL, \
           UNIQUE (country, code)); \
         CREATE TABLE orders (no text PRIMARY KEY, cust_id int REFERENCES cust); \
         INSERT INTO cust (ext, country, code) VALUES ('E0', 'AT', 'K0')",
        "cust: {natural_key: [ext]}\n\
         orders: {natural_key: [no], references: {cust_id: {table: cust, by: {country: land, code: kunde}}}}",
    );
    for (batch, customers) in [
        ("left", "ext,code\nE1,K1\nE0,K0\n"),
        ("blank", "ext,country,code\nE1,,K1\nE2,FR,K1\nE0,,K0\n"),
    ] {
        world.deliver(batch, "cust.csv", customers);
        world.deliver(batch, "orders.csv", "no,land,kunde\n1,DE,K1\n2,AT,K0\n");
        let plan = world.plan(batch);
        assert_eq!(plan.count("violation"), 0, "{batch}: {:?}", plan.lines());
        let lines = plan.lines();
        assert!(
            lines.contains(&"+ orders no=1: cust_id=+<E1>".to_owned()),
            "{lines:?}"
        );
        // A row that is there does not get its default.
        world.deliver("other", "cust.csv", customers);
        world.deliver("other", "orders.csv", "no,land,kunde\n1,DE,K0\n");
        assert_eq!(world.plan("other").count("violation"), 1);
    }
    let plan = world.plan("blank");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows(
            "SELECT no, country, code FROM orders JOIN cust ON cust.id = cust_id ORDER BY no"
        ),
        ["1|DE|K1", "2|AT|K0"]
    );
}

/// Where it cannot be known which new row will have a key, nobody is told that none will.
#[test]
fn of_new_rows_whose_keys_or_numbers_are_not_known_it_is_said_why() {
    for (column, key, why) in [
        (
            "slug text GENERATED ALWAYS AS (lower(no)) STORED UNIQUE",
            "slug",
            "slug is computed by the database",
        ),
        (
            "slug text UNIQUE DEFAULT lower('P1')",
            "slug",
            "slug has a default",
        ),
        ("slug text UNIQUE", "slug", "slug is set by a trigger"),
        ("slug text UNIQUE", "no", "id is set by a trigger"),
    ] {
        let stamped = if why.contains("slug is set") {
            "slug"
        } else {
            "id"
        };
        let id = if why.starts_with("id") {
            "bigint"
        } else {
            "bigserial"
        };
        let world = World::in_folder(
            &format!(
                "CREATE SEQUENCE seq; CREATE TABLE par (id {id} PRIMARY KEY, no text NOT NULL UNIQUE, {column}); \
                 CREATE FUNCTION sets() RETURNS trigger LANGUAGE plpgsql AS \
                   'BEGIN IF new.id IS NULL THEN new.id := nextval(''seq''); END IF; {set} RETURN new; END'; \
                 CREATE TRIGGER sets BEFORE INSERT ON par FOR EACH ROW EXECUTE FUNCTION sets(); \
                 CREATE TABLE kid (k text PRIMARY KEY, par_id bigint REFERENCES par)",
                set = if stamped == "slug" {
                    "new.slug := lower(new.no);"
                } else {
                    ""
                },
            ),
            &format!(
                "par: {{natural_key: [no]{stamps}}}\n\
                 kid: {{natural_key: [k], references: {{par_id: {{table: par, by: {{{key}: par}}}}}}}}",
                stamps = match why.contains("trigger") {
                    true => format!(", stamps: {{{stamped}: trigger}}"),
                    false => String::new(),
                }
            ),
        );
        let named = if key == "no" { "P1" } else { "p1" };
        world.deliver("b", "par.csv", "no\nP1\n");
        world.deliver("b", "kid.csv", format!("k,par\n1,{named}\n"));
        let plan = world.plan("b");
        assert!(
            plan.text.contains("\"missing_parent\""),
            "{why}: {:?}",
            plan.lines()
        );
        for says in [why, "deliver the rows of par in a batch before"] {
            assert!(plan.text.contains(says), "{why}: {}", plan.text);
        }
        assert!(
            !plan.text.contains("neither in the database"),
            "{why}: {}",
            plan.text
        );
        // Without new rows of that table, there is nothing that is not known.
        world.deliver("none", "kid.csv", "k,par\n1,x\n");
        let plan = world.plan("none");
        assert!(
            plan.text.contains("neither in the database"),
            "{why}: {}",
            plan.text
        );
    }
}
