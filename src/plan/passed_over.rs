//! What a delivery that is not complete leaves as it was, without an entry in the plan.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::is_zero;
use crate::strict::unique_map;
use crate::text::escape;

/// What of a table stays as it was although it is not as the delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PassedOver {
    /// Rows that the delivery does not bring, counted up to 10,001.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// By column: values that stay because the delivery says null, which `merge` ignores.
    #[serde(
        deserialize_with = "unique_map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub nulls: BTreeMap<String, u64>,
}

/// More rows are not counted: that many are missing is known then.
pub const MOST: u64 = 10_001;

impl PassedOver {
    /// Whether there is nothing; then a plan does not name it.
    pub fn is_empty(&self) -> bool {
        *self == PassedOver::default()
    }

    /// For people, a sentence each.
    pub fn words(&self) -> Vec<String> {
        let rows = match self.rows {
            0 => None,
            1 => Some("1 row of the table is not in the delivery and stays as it is".to_owned()),
            n if n >= MOST => Some(format!(
                "more than {} rows of the table are not in the delivery and stay as they are",
                MOST - 1
            )),
            n => Some(format!(
                "{n} rows of the table are not in the delivery and stay as they are"
            )),
        };
        let columns = self.nulls.iter();
        let columns = columns.map(|(column, n)| format!("{} {n}", escape(column)));
        let columns: Vec<String> = columns.collect();
        let nulls = (!columns.is_empty()).then(|| {
            format!(
                "values that stay although the delivery says null (conflict_resolution: merge): {}",
                columns.join(", ")
            )
        });
        rows.into_iter().chain(nulls).collect()
    }
}
