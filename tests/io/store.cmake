# SPDX-License-Identifier: Apache-2.0
vqkit_test(array_test SOURCES files/array_test.cpp DEPS vqkit_store)
vqkit_test(store_test SOURCES hdf5/store_test.cpp DEPS vqkit_store)
vqkit_test(store_damage_test SOURCES hdf5/store_damage_test.cpp DEPS vqkit_store)
vqkit_test(hessian_file_test SOURCES hdf5/hessian_file_test.cpp DEPS vqkit_store)
