"""Speed/accuracy tables: rules, yardsticks, rows and what they are printed as."""
