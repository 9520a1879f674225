"""The baselines: cheaper and older attribution methods, each ranked beside UnTrac."""
