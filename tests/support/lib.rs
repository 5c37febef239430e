//! What the black-box tests share: a simulator and a proxy as real processes, clients for both, and the ledger as a
//! stranger would read it.

mod certificate;
mod events;
mod ledger;
mod process;
mod raw;
mod simulator;
mod stack;
mod waiting;

pub use certificate::Certificate;
pub use events::{Event, Events, chat_text, response_text};
pub use ledger::Row;
pub use process::{Process, binary};
pub use raw::{RawAnswer, raw};
pub use simulator::{Received, Simulator};
pub use stack::{Setup, Stack, chat_body, client, free_port, response_body, trusting};
pub use waiting::{eventually, within};
