-- The applications of which a rollback undid some rows and left others; which rows, its audit rows say.
ALTER TABLE loader_ledger ADD COLUMN IF NOT EXISTS undoes_in_part uuid[];
