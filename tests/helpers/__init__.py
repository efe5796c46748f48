"""What tests share: where real data lie, and a library made of real clips."""
