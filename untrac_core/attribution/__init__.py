"""Attribution: how much does each training subset make a prompt set more likely? UnTrac, and baselines beside it."""
