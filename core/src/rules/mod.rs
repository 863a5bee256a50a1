//! The rules of the contract as plain functions, each with its table of cases.
