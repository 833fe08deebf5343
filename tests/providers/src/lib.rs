//! What is tested here is in `tests`, a file for each process.
