"""Words, numbers and limits as pages, reports and the command line show them; harmful text masked."""
