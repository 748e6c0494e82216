"""What results show of themselves: tables in notebooks, and the door to their pictures."""
