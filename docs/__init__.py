"""The site's pages, their pictures and what makes them."""
