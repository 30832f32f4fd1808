//! What many of these tests begin with.

use std::path::Path;

use crate::support::World;

/// With the loader's tables, a table of subjects, its configuration, and a batch `b1`.
pub fn with_batch() -> World {
    let world = World::empty();
    world.sql(
        "CREATE TABLE subjects (gsid text PRIMARY KEY, sex text, created_by text);
         INSERT INTO subjects VALUES ('G1', 'F', 'redcap')",
    );
    world.write("tables.yaml", "subjects: {natural_key: [gsid]}\n");
    world.write(
        "source/staging/b1/subjects/frag_1.json",
        r#"[{"gsid": "G1", "sex": "M"}, {"gsid": "G2", "sex": "F"}, {"gsid": "G3"}]"#,
    );
    world.loader(&["migrate"]).ok();
    world
}

/// Plans `b1` into `plan.json`.
pub fn planned(world: &World) {
    world
        .loader(&["plan", "--batch-id", "b1", "--out", "plan.json"])
        .ok();
}

/// Makes a file readable by its owner only, who becomes `like`'s owner.
pub fn private(path: &Path, like: &Path) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let owner = std::fs::metadata(like).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}
