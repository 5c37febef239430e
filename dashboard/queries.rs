//! What the pages ask of the ledger: one file per question, and one that puts a page's answers together.

mod accounts;
mod exchanges;
pub(crate) mod overview;
mod sums;
mod top;

pub(crate) use accounts::{Account, State};
pub(crate) use exchanges::Exchange;
pub(crate) use overview::Overview;
pub(crate) use sums::{Slot, Sums};
pub(crate) use top::Top;
