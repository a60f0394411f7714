"""What the steps of rules do. Each can be done twice, wherever it was stopped."""
