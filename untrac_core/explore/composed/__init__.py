"""Pages made of several results, with own words between their figures."""
