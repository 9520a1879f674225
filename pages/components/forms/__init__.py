"""What the forms share: sources, uploads, launching, drafts."""
