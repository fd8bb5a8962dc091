"""Operations: what runs, what waits, what was given up, and what operators do about it."""
