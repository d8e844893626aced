# SPDX-License-Identifier: Apache-2.0
vqkit_test(array_test SOURCES array_test.cpp DEPS vqkit_store)
vqkit_test(store_test SOURCES store_test.cpp DEPS vqkit_store)
vqkit_test(store_damage_test SOURCES store_damage_test.cpp DEPS vqkit_store)
vqkit_test(hessian_file_test SOURCES hessian_file_test.cpp DEPS vqkit_store)
