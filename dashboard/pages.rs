//! The pages: what a query found, and the template that shows it.

mod notice;
mod overview;

pub(crate) use notice::Notice;
pub(crate) use overview::OverviewPage;
