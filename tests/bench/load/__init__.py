"""The service under load: a full database, a hundred connections, a thousand live clients, and jobs all the while."""
