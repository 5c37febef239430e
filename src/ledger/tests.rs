//! The ledger's promises.
