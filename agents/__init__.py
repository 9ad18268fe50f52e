"""Those who decide: rules played on simulators, search, policies and their training."""
