"""The history of the tables, oldest first. A file here is never changed once it was released; add the next one."""
