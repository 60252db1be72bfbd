"""Attribution methods that come with attribution-bench."""
