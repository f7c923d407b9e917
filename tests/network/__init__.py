"""NetworkPolicies without a network: what ours allow, by an evaluator of our own and by cyclonus."""
