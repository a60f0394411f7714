"""Auto-routing by declarative rules, without loss."""
