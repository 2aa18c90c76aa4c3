//! The tests that run the program, and the rules of the house.
