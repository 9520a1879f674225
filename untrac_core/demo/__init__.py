"""The demo world: invented text whose right answer is known, safe to show to anyone."""
