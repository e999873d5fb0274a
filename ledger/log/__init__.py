"""The log itself: statements in one Merkle tree, the state that contracts derive from them, and checks of both."""
