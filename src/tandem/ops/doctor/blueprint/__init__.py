"""The rules of Render's Blueprint file, and of a Tandem described by one."""
