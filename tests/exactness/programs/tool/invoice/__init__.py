"""Invoices from hours."""
